/** Plans: pipelines as data. */
export { explain, kept } from './explain.ts'
export { mergePlans } from './merge.ts'
export { planOf } from './of.ts'
