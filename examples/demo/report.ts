/** The ledger at the end of the demo. */
import type { Comparison } from './compare.ts'
import type { ProducerReport } from './producer.ts'

export interface DemoReport {
  readonly startMs: number
  readonly restartMs: number | undefined
  readonly books: {
    readonly producer: ProducerReport
    readonly actions: Record<string, number>
    readonly stages: Record<string, number>
    readonly late: number
    readonly deadLetters: number
  }
  readonly pages: Comparison
  readonly revenue: Comparison
  readonly alerts: { readonly received: number; readonly badSignatures: number }
  readonly problems: readonly string[]
}

export function printReport(report: DemoReport, json: boolean): void {
  if (json) {
    const { pages: _, ...producer } = report.books.producer
    process.stdout.write(`${JSON.stringify({ ...report, books: { ...report.books, producer } })}\n`)
    return
  }
  const { producer, actions, stages } = report.books
  const row = (label: string, value: number | string, note = ''): string =>
    `  ${label.padEnd(34)}${(typeof value === 'number' ? value.toLocaleString('en') : value).padStart(12)}  ${note}`.trimEnd()
  const lines = [
    '',
    'Ledger of the producer (its own count)',
    row('sent', producer.sent),
    row('acknowledged', producer.acknowledged),
    row('refused, invalid on purpose', producer.refused),
    row('requests repeated on purpose', producer.resent, 'each got the identical answer'),
    row('requests retried', producer.retries),
    row('views sent too late', producer.tooLate),
    '',
    'Ledger of the engine',
    row('user actions appended', actions['emitted'] ?? 0),
    row('records read by stages and sinks', stages['read'] ?? 0),
    row('  processed', stages['processed'] ?? 0),
    row('  late', stages['late'] ?? 0, `${report.books.late} in late-actions`),
    row('  dead-lettered', stages['deadLettered'] ?? 0),
    '',
    'SQLite against an independent tally',
    row('page windows', report.pages.windows, `${report.pages.views.toLocaleString('en')} views`),
    row(
      'revenue windows',
      report.revenue.windows,
      `${report.revenue.views.toLocaleString('en')} orders`,
    ),
    row('CPU alerts at the webhook', report.alerts.received, 'signatures checked'),
    '',
    row('first start', `${Math.round(report.startMs)} ms`),
    ...(report.restartMs === undefined
      ? []
      : [row('start after kill -9', `${Math.round(report.restartMs)} ms`)]),
    '',
    report.problems.length === 0
      ? 'Everything agrees: nothing is missing, nothing is counted twice.'
      : `It does not agree:\n${report.problems
          .slice(0, 20)
          .map((problem) => `  ${problem}`)
          .join('\n')}`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}
