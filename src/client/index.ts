/** For programs that send events, on servers and in browsers. */
export { producer } from './producer.ts'
export type { EventResult, Producer, ProducerCounters, ProducerOptions, Queued } from './options.ts'
export type { Machine } from './machine.ts'
