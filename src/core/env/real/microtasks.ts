/** Runs `act` in a macrotask of its own: only outside of any microtask can all of them be run. */
export function inMacrotask<T>(act: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(act())
      } catch (error) {
        reject(error as Error)
      }
    })
  })
}

/**
 * Runs every microtask that waits, and what those make, as Node does between two macrotasks. Only from within a macrotask.
 * Node has no public function for it; a macrotask for each round of them would take six times as long.
 */
export function runMicrotasks(): void {
  tickable._tickCallback()
}

const tickable = process as unknown as { _tickCallback(): void }
