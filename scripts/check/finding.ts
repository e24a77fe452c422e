/** One broken rule at one place. */
export interface Finding {
  /** Relative to the repository. */
  file: string
  line: number
  rule: string
  message: string
}

export interface Check {
  name: string
  run(root: string): Finding[] | Promise<Finding[]>
}
