import type { TableUsers } from '../../auth/directory/table-users.js'
import { createPasswordHasher } from '../../auth/password-hash.js'
import { openMemoryCatalog } from '../../catalog/memory.js'
import { systemClock } from '../../core/clock.js'
import { Failure, isFailure } from '../../core/failure.js'
import type { Config } from '../load.js'
import { openState } from '../state.js'
import type { State } from '../state.js'
import { identityKinds } from './kinds.js'

/** The users of a source that are managed for as long as it is open. */
export interface ManagedUsers {
  readonly users: TableUsers
  /** Where changes are noted. Absent: there is no state here, and its servers do not learn of changes at once. */
  readonly state?: Pick<State, 'audit' | 'startedBy'>
  close(): Promise<void>
}

/** Opens the users of a source by its name. Throws `invalid` where there is none, or none that Postern manages. */
export async function openManagedUsers(config: Config, name: string): Promise<ManagedUsers> {
  const setting = config.identity.find((source) => source.name === name)
  const names = config.identity.map((source) => source.name).join(', ')
  if (setting === undefined) throw new Failure('invalid', `There is no source ${JSON.stringify(name)}, but ${names}.`)
  const kind = identityKinds.get(setting.kind)
  if (kind?.manage === undefined)
    throw new Failure('invalid', `The users of ${name} are not managed by Postern: change them where they are kept.`)
  const state = await openState(config, { create: false }).catch((error: unknown) => {
    // The table can be managed from anywhere.
    if (isFailure(error, 'not-found')) return undefined
    throw error
  })
  const catalog = state?.catalog ?? openMemoryCatalog({ clock: systemClock })
  const close = (): Promise<void> => (state ?? catalog).close()
  try {
    const hasher = state?.hasher ?? createPasswordHasher()
    const users = await kind.manage(name, setting.settings, { catalog, hasher, clock: systemClock })
    return {
      users,
      ...(state && { state }),
      async close() {
        users.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}
