import type { StorePath } from '../core/path.js'
import type { Action } from '../store/store.js'

/** What one caller may do: the union of its grants, default deny. */
export interface Permit {
  /** `collection`: what is made is a collection, which some notations of grants write with a slash behind its name. */
  allows(action: Action, path: StorePath, collection?: boolean): boolean
  /** The action is allowed on the path and on everything that is or could be below it. */
  allowsAllBelow(action: Action, path: StorePath): boolean
  /**
   * Something at or below the path might be seen: collections on the way to a granted path may be listed. A grant that
   * shows nothing (`create`) leads as far as its pattern names, and no further: what is inside a letter box stays hidden.
   */
  mayAllowBelow(path: StorePath): boolean
  /**
   * The most bytes that a file may be put there with: what the largest of the grants allows, and where creating and
   * replacing differ, the smaller of the two. Absent where no grant has a size.
   */
  readonly mostBytes?: ((path: StorePath) => number) | undefined
  /** The grant that allows it, for `postern check --as`. */
  explain(action: Action, path: StorePath): { readonly grant: string; readonly source: string } | undefined
}
