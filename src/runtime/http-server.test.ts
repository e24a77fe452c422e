import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Place } from '../../tests/end-to-end/harness.ts'

test(
  'only the user whose engine it is may open the socket in its data directory',
  { timeout: 90_000 },
  async () => {
    await using place = new Place()
    const url = place.pipeline('p', `p.stream('in', { schema: Type.Object({ n: Type.Number() }) })`)
    await place.start(url, { workers: 1 })
    const { mode } = statSync(join(place.directory, 'data', 'admin.sock'))
    expect((mode & 0o777).toString(8)).toBe('600')
  },
)
