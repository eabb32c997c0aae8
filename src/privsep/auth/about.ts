import type { Credential, Directory } from '../../auth/identity.js'
import type { DoorPart } from './door.js'

/** What a front must know of sources that it does not have: plain data. */
export interface About {
  /** By the kinds of credentials that some source can judge: what a success must be remembered by. */
  readonly kinds: Readonly<Partial<Record<Credential['kind'], RememberedBy>>>
  /** Where links lie that callers have signed for others, as text of paths. */
  readonly linksBelow: readonly string[]
  /** Some users may be managed by calls. */
  readonly hasUsers: boolean
}

/** `credential`: that alone; `address`: with where the caller is; `request`: not at all, each request is asked about. */
export type RememberedBy = 'credential' | 'address' | 'request'

/** `about {}`: what there is to ask for. */
export const aboutPart: DoorPart = ({ directories, links, users }) => ({
  about: {
    maxBytes: 64,
    handle: () => {
      const about: About = {
        kinds: kindsOf(directories),
        linksBelow: links.flatMap(({ below }) => below),
        hasUsers: users.length > 0,
      }
      return { head: { ...about } }
    },
  },
})

/** The most careful of the sources that may be asked decides. */
function kindsOf(directories: readonly Directory[]): About['kinds'] {
  const kinds: Partial<Record<Credential['kind'], RememberedBy>> = {}
  const weight = (by: RememberedBy | undefined): number => (by === undefined ? -1 : ranks.indexOf(by))
  for (const { accepts, dependsOn = 'credential' } of directories)
    for (const kind of accepts) if (weight(dependsOn) > weight(kinds[kind])) kinds[kind] = dependsOn
  return kinds
}

const ranks: readonly RememberedBy[] = ['credential', 'address', 'request']
