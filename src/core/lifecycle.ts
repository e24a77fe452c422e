interface Owned {
  readonly name: string
  readonly close: () => void | Promise<void>
}

/**
 * What one owner must close. Closing goes in reverse order of taking, goes on when one close fails, and reports
 * every failure at the end.
 */
export class Resources {
  readonly #owned: Owned[] = []
  #closing: Promise<void> | undefined

  /** Takes `resource` into ownership; `close` is called once. Refused after closing began. */
  own<T>(name: string, resource: T, close: (resource: T) => void | Promise<void>): T {
    if (this.#closing !== undefined) throw new Error(`${name} came after closing began`)
    this.#owned.push({ name, close: () => close(resource) })
    return resource
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Closes everything; calling again waits for the same. Rejects with an AggregateError when some would not close. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    const failures: Error[] = []
    for (let next = this.#owned.pop(); next !== undefined; next = this.#owned.pop()) {
      try {
        await next.close()
      } catch (cause) {
        failures.push(new Error(`closing ${next.name} failed: ${String(cause)}`, { cause }))
      }
    }
    if (failures.length > 0) {
      throw new AggregateError(failures, failures.map(({ message }) => message).join('; '))
    }
  }
}
