/** Plans: pipelines as data. */
export { explain } from './explain.ts'
export { mergePlans } from './merge.ts'
export { planOf } from './of.ts'
