// Says where the time of a CPU profile went: node bench/profile.mjs FILE.cpuprofile [LINES]
import { readFileSync } from 'node:fs'

const [file, lines = '30'] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('usage: node bench/profile.mjs FILE.cpuprofile [LINES]\n')
  process.exit(2)
}
const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'))
const names = new Map(
  nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
    const place = url === '' ? '' : ` ${url.replace(/^.*\/(dist|node_modules)\//, '')}:${lineNumber + 1}`
    return [id, `${functionName || '(anonymous)'}${place}`]
  }),
)
/** @type {Map<string, number>} */
const own = new Map()
let busy = 0
for (const [index, id] of samples.entries()) {
  const name = names.get(id)
  if (name === '(idle)') continue
  own.set(name, (own.get(name) ?? 0) + timeDeltas[index])
  busy += timeDeltas[index]
}
console.log(`${(busy / 1e6).toFixed(2)} s busy; of them in the function itself:`)
const dearest = [...own].sort(([, one], [, other]) => other - one).slice(0, Number(lines))
for (const [name, time] of dearest) console.log(`${((100 * time) / busy).toFixed(1).padStart(5)} %  ${name}`)
