import type { Command } from 'commander'
import { readEnvironment } from '../config/environment.js'
import { policiesOf } from '../config/policy.js'
import type { Holder } from '../config/policy.js'
import { Failure } from '../core/failure.js'
import { withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { print } from './terminal.js'

interface PolicyCommandOptions extends ConfigOptions {
  readonly account?: string
  readonly migrate?: boolean
  readonly json?: boolean
}

const help = `
The policies go to standard output, everything else to standard error:
  postern policy --account 123456789012 > policy.json
  aws iam put-role-policy --role-name postern --policy-name postern --policy-document file://policy.json`

/** `postern policy`. */
export function addPolicy(program: Command): void {
  withConfigOptions(program.command('policy'))
    .description('print the least rights at AWS that the configuration needs, as policies of IAM')
    .option('--account <number>', 'the AWS account of the resources (default: any)')
    .option('--migrate', 'what "postern migrate" needs, instead of a server')
    .option('--json', 'print one JSON object with all policies and notes')
    .addHelpText('after', help)
    .action((options: PolicyCommandOptions) => {
      const { account, migrate = false } = options
      if (account !== undefined && !/^\d{12}$/.test(account))
        throw new Failure('invalid', '--account is the number of an account: 12 digits.')
      const { policies, notes } = policiesOf(settle(options), {
        environment: readEnvironment(),
        migrate,
        ...(account !== undefined && { account }),
      })
      if (options.json === true) {
        print(JSON.stringify({ policies, notes }))
        return
      }
      for (const { holder, document } of policies) {
        tell(`${headingOf(holder)}:`)
        print(JSON.stringify(document, undefined, 2))
      }
      if (policies.length === 0) tell('This configuration needs no rights at AWS.')
      for (const note of notes) tell(note)
    })
}

function headingOf(holder: Holder): string {
  switch (holder.kind) {
    case 'process':
      return 'For the role of this server'
    case 'role':
      return `For the role ${holder.id}`
    case 'key':
      return `For the owner of the access key ${holder.id}`
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}
