/** `Timers.sleep` made from `Timers.after`: resolves after `ms`, or early when the signal aborts. */
export function sleepOn(
  after: (ms: number, fn: () => void) => () => void,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve()
      return
    }
    const done = (): void => {
      signal?.removeEventListener('abort', done)
      cancel()
      resolve()
    }
    const cancel = after(ms, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}
