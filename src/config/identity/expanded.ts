import { compileGrants, expandUser } from '../../auth/grant.js'
import { isFailure } from '../../core/failure.js'

/** The grants of a source for one name, or why that name is refused. */
export function expanded(
  grants: readonly string[],
  name: string,
): { readonly grants: readonly string[] } | { readonly refused: string } {
  try {
    const own = expandUser(grants, name)
    compileGrants(own, '')
    return { grants: own }
  } catch (error) {
    if (isFailure(error, 'invalid', 'denied')) return { refused: error.message }
    throw error
  }
}
