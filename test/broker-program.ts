import { openBroker } from '../src/privsep/broker/broker.js'
import { rigOptions } from './broker-rig.js'

/** A broker in a process of its own, which a test may kill. Arguments: its folder, the script that asks PAM. */
const [home = '', pamHelper = ''] = process.argv.slice(2)
const nothing = (): undefined => undefined
await openBroker({
  ...rigOptions(home),
  pamHelperCommand: [process.execPath, pamHelper],
  log: { info: nothing, warn: nothing, error: nothing },
  audit: nothing,
})
process.stdout.write('ready\n')
