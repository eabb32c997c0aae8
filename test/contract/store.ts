import { afterEach, beforeEach, describe, expect } from 'vitest'
import { abilities } from './store/abilities.js'
import { changing } from './store/changing.js'
import { looking } from './store/looking.js'
import { medium } from './store/medium.js'
import { parts } from './store/parts.js'
import { racing } from './store/racing.js'
import { pathsBelow, type Lacking, type Subject } from './store/subject.js'
import { writing } from './store/writing.js'

export type { Lacking, Medium, Subject } from './store/subject.js'

/**
 * Every sentence of the `Store` contract, as tests. `open` gives an empty store for each test; `lacking` names the
 * abilities that it has not, each with the reason that the skipped tests then show. After every test nothing may lie on
 * the medium but what the store lists.
 */
export function storeContract(name: string, open: () => Promise<Subject>, lacking: Lacking = {}): void {
  describe(`store contract: ${name}`, () => {
    let subject: Subject | undefined

    beforeEach(async () => {
      subject = await open()
    })

    afterEach(async () => {
      const used = current()
      subject = undefined
      try {
        const listed = new Set<string>(await pathsBelow(used.store, '/', { depth: 'infinity' }))
        const strays = (await used.medium?.everything())?.filter(
          (path) => !listed.has(path) && !used.medium?.isOdd(path),
        )
        expect(strays ?? []).toEqual([])
      } finally {
        await used.store.close()
        // A store closes as often as it is told to.
        await used.store.close()
        await used.dispose()
      }
    })

    function current(): Subject {
      if (subject === undefined) throw new Error('No store was opened.')
      return subject
    }

    for (const group of [writing, racing, looking, changing, abilities, parts, medium]) group(current, lacking)
  })
}
