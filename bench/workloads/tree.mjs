import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { expectStatus, send, Wrong } from '../lib/http.mjs'
import { accounted } from '../lib/processes.mjs'
import { buildTree, listedName, onDisk, smallFile, tree, treeFolder } from '../lib/site.mjs'

const oneFile = `${treeFolder(57)}/${listedName(57)}`

/** Throws unless a tree is whole. @param {string} path */
function expectTree(path) {
  let files = 0
  for (let index = 0; index < tree.folders; index++) {
    const folder = `${onDisk(path)}/${treeFolder(index)}`
    if (existsSync(folder)) files += readdirSync(folder).filter((name) => name.startsWith('file-')).length
  }
  if (files !== tree.files) throw new Wrong(`${files} of ${tree.files} files in ${path}`)
  if (readFileSync(`${onDisk(path)}/${oneFile}`, 'utf8') !== smallFile) throw new Wrong('other content')
}

/** Copies or moves a tree and checks that it is there. */
export async function transfer(server, method, from, to) {
  const destination = `http://127.0.0.1:${server.port}${to}/`
  const headers = { Destination: destination, Overwrite: 'F', Depth: 'infinity' }
  const { status, milliseconds, cpu } = await accounted(server.pid, () => send(server, method, `${from}/`, headers))
  expectStatus(status, [200, 201, 204], method)
  expectTree(to)
  return { value: milliseconds, cpu }
}

/** Removes a tree and checks that it is gone. */
export async function remove(server, path) {
  const { status, milliseconds, cpu } = await accounted(server.pid, () => send(server, 'DELETE', `${path}/`))
  expectStatus(status, [200, 204], 'DELETE')
  if (existsSync(onDisk(path))) throw new Wrong(`${path} is still there`)
  return { value: milliseconds, cpu }
}

/** @type {import('./index.mjs').Workload} */
export const copy = {
  name: 'copy',
  documents: [],
  rows: [{ name: 'copy', title: 'COPY of 10,000 files', unit: 'ms', lower: true, goals: [{ ratio: 0.5 }] }],
  prepare: () => buildTree('/w/tree'),
  async run({ server }) {
    const result = await transfer(server, 'COPY', '/w/tree', '/w/copied')
    const inode = (path) => statSync(`${onDisk(path)}/${oneFile}`).ino
    const note = inode('/w/tree') === inode('/w/copied') ? 'hard links, no copies' : undefined
    return { copy: { ...result, note } }
  },
}

/** @type {import('./index.mjs').Workload} */
export const move = {
  name: 'move',
  documents: [],
  rows: [{ name: 'move', title: 'MOVE of 10,000 files', unit: 'ms', lower: true }],
  prepare: () => buildTree('/w/to-move'),
  async run({ server }) {
    const before = statSync(onDisk('/w/to-move')).ino
    const result = await transfer(server, 'MOVE', '/w/to-move', '/w/moved')
    if (existsSync(onDisk('/w/to-move'))) throw new Wrong('the source is still there')
    return { move: { ...result, note: statSync(onDisk('/w/moved')).ino === before ? undefined : 'not by a rename' } }
  },
}

/** Called so because "delete" is a word of the language. @type {import('./index.mjs').Workload} */
export const removal = {
  name: 'delete',
  documents: [],
  rows: [{ name: 'delete', title: 'DELETE of 10,000 files', unit: 'ms', lower: true, goals: [{ ratio: 0.75 }] }],
  prepare: () => buildTree('/w/to-delete'),
  run: async ({ server }) => ({ delete: await remove(server, '/w/to-delete') }),
}
