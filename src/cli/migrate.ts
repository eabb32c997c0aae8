import type { Command } from 'commander'
import { migrateCatalog } from '../config/catalog-migration.js'
import type { CatalogMigration } from '../config/catalog-migration.js'
import { Failure } from '../core/failure.js'
import { withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { print } from './terminal.js'

interface MigrateOptions extends ConfigOptions {
  readonly apply?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

const help = `
Examples:
  postern migrate                 what is to be done in the database of the catalog?
  postern migrate --apply         do it; servers may go on meanwhile, and it may be repeated
  postern migrate --apply --json  the same for a program`

/** `postern migrate`. */
export function addMigrate(program: Command): void {
  withConfigOptions(program.command('migrate'))
    .description('show or make the tables that the catalog needs in its database')
    .option('--apply', 'make them')
    .option('--dry-run', 'only show what would be made (the default)')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (options: MigrateOptions) => {
      const { apply = false, dryRun = false, json = false } = options
      if (apply && dryRun) throw new Failure('invalid', '--apply and --dry-run exclude each other.')
      const migration = await migrateCatalog(settle(options), apply)
      if (json) print(JSON.stringify({ ...(migration ?? { database: 'file', steps: [] }), applied: apply }))
      else for (const line of report(migration, apply)) print(line)
    })
}

function report(migration: CatalogMigration | undefined, apply: boolean): readonly string[] {
  if (migration === undefined) return ['The catalog is a file in the state directory: there is nothing to migrate.']
  const { steps, from, to } = migration
  const now = to === undefined ? '' : ` (schema ${to})`
  if (steps.length === 0) return [`The database of the catalog is as it should be${now}.`]
  const listed = steps.map((step) => `  ${step.replace(/\s+/g, ' ')}${from === undefined ? '' : ';'}`)
  const change =
    to === undefined ? '' : ` (${from === 0 ? 'an empty database' : `schema ${from ?? ''}`} becomes schema ${to})`
  return apply
    ? [`Done${change}:`, ...listed]
    : [`To be done${change}:`, ...listed, 'Nothing was changed: postern migrate --apply does it.']
}
