// The files that every peer serves: documents that are only read, and an empty scratch folder on a new filesystem.
import { randomFillSync } from 'node:crypto'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isRoot, run } from './machine.mjs'

/** Everything that a run leaves on disk lies here. */
export const workFolder = join(tmpdir(), 'postern-bench-work')
const image = join(workFolder, 'scratch.img')
const mountPoint = join(workFolder, 'fs')
const kept = join(workFolder, 'documents')
const keptMillions = join(workFolder, 'millions')

/** What the peers serve; /data of it is only read, /w is for writing. */
export const root = join(mountPoint, 'root')
const data = join(root, 'data')
/** Apart from the others: whoever serves a tree may go through all of it when it starts. */
const millions = join(root, 'millions')
const isMillion = (name) => name.endsWith('million')

/** @param {string} path of a URL */
export const onDisk = (path) => join(root, path)

/** The content of each listed file and of each file of a tree. */
export const smallFile = 'x'.repeat(100)
/** What small uploads hold: 1 KiB. */
export const kibibyte = 'Of 64 bytes this line is one of sixteen that fill one kibibyte.\n'.repeat(16)

/** @param {number} index */
export const listedName = (index) => `file-${String(index).padStart(5, '0')}.txt`

const documentSizes = { '1k.bin': 2 ** 10, '1m.bin': 2 ** 20, '1g.bin': 2 ** 30 }

/** @param {string} folder @param {number} count */
function fillFolder(folder, count, content = smallFile) {
  fs.mkdirSync(folder, { recursive: true })
  for (let index = 0; index < count; index++) fs.writeFileSync(join(folder, listedName(index)), content)
}

const aMillion = 1_000_000

/**
 * A document is a file of random bytes, or a folder: "list-N" of N small files, "flat-million" of a million empty ones,
 * "million" of a hundred folders with 10,000 empty ones each.
 */
function buildDocument(folder, name) {
  const target = join(folder, name)
  if (fs.existsSync(target)) return
  const unfinished = join(folder, '.unfinished')
  fs.rmSync(unfinished, { recursive: true, force: true })
  if (name.startsWith('list-')) fillFolder(unfinished, Number(name.slice(5)))
  else if (name === 'flat-million') fillFolder(unfinished, aMillion, '')
  else if (name === 'million')
    for (let index = 0; index < 100; index++) fillFolder(join(unfinished, treeFolder(index)), aMillion / 100, '')
  else {
    const block = Buffer.alloc(Math.min(documentSizes[name], 2 ** 20))
    const file = fs.openSync(unfinished, 'w')
    for (let size = 0; size < documentSizes[name]; size += block.length) fs.writeSync(file, randomFillSync(block))
    fs.closeSync(file)
  }
  run('chmod', '-R', 'a+rX', unfinished)
  fs.renameSync(unfinished, target)
}

export const tree = { folders: 100, filesEach: 100, files: 10_000 }
/** @param {number} index */
export const treeFolder = (index) => `dir-${String(index).padStart(3, '0')}`

/** A hundred folders with a hundred small files each. @param {string} path */
export function buildTree(path) {
  if (fs.existsSync(onDisk(path))) return
  for (let index = 0; index < tree.folders; index++) fillFolder(join(onDisk(path), treeFolder(index)), tree.filesEach)
}

/** Files of 1 KiB named f0.txt, f1.txt and so on. @param {string} path @param {number} count */
export function buildFiles(path, count) {
  fs.mkdirSync(onDisk(path), { recursive: true })
  for (let index = 0; index < count; index++) fs.writeFileSync(join(onDisk(path), `f${index}.txt`), kibibyte)
}

/** Peers run as other users than this program: whoever they are, they may write. @param {string} folder */
export function letAllWrite(folder) {
  run('chmod', '-R', 'a+rwX', folder)
}

const isMounted = (folder) => fs.readFileSync('/proc/self/mounts', 'utf8').includes(` ${folder} `)

/** A server that has just ended may hold its files for a moment. */
function unmount(folder) {
  for (let attempt = 0; isMounted(folder); attempt++) {
    try {
      run('umount', folder)
    } catch (error) {
      if (attempt === 20) throw error
      run('sleep', '0.2')
    }
  }
}

/** Takes the scratch space away. The documents stay for the next run. */
export function removeSite() {
  for (const folder of [data, millions, mountPoint]) unmount(folder)
  fs.rmSync(image, { force: true })
  for (const folder of [onDisk('w'), join(mountPoint, 'state')]) fs.rmSync(folder, { recursive: true, force: true })
}

/**
 * Makes the site anew. What it costs to create a file on a used ext4 depends on what was deleted there before, so each
 * peer gets a new one in each round, where that is allowed.
 * @param {Iterable<string>} documents @returns {boolean} whether the filesystem is new
 */
export function makeSite(documents) {
  removeSite()
  fs.mkdirSync(mountPoint, { recursive: true })
  fs.chmodSync(workFolder, 0o755)
  const isNew = isRoot && mountNew()
  const large = [...documents].filter(isMillion)
  const folders = isNew ? { usual: kept, large: keptMillions } : { usual: data, large: millions }
  for (const folder of [folders.usual, ...(large.length > 0 ? [folders.large] : [])]) {
    fs.mkdirSync(folder, { recursive: true })
    fs.chmodSync(folder, 0o755)
  }
  for (const name of documents) buildDocument(isMillion(name) ? folders.large : folders.usual, name)
  for (const each of [onDisk('w'), join(mountPoint, 'state')]) fs.mkdirSync(each)
  if (isNew) {
    mountReadOnly(kept, data)
    if (large.length > 0) mountReadOnly(keptMillions, millions)
  }
  return isNew
}

function mountReadOnly(folder, place) {
  fs.mkdirSync(place)
  run('mount', '--bind', '-o', 'ro', folder, place)
}

function mountNew() {
  fs.writeFileSync(image, '')
  fs.truncateSync(image, 6 * 2 ** 30)
  // All tables are written now, or the kernel would do it during the measurement.
  run('mkfs.ext4', '-q', '-F', '-N', '300000', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image)
  try {
    run('mount', '-o', 'loop,noatime', image, mountPoint)
  } catch {
    return false // root of a container without loop devices
  }
  fs.mkdirSync(root)
  return true
}

/** An empty folder for what a server keeps beside the files, on the filesystem of the files. */
export function newState() {
  const folder = fs.mkdtempSync(join(mountPoint, 'state', 'of-'))
  letAllWrite(folder)
  return folder
}

/**
 * Virtual machines give idle memory back to their host, and whoever touches it next waits. Nobody is to pay for that.
 */
export function touchMemory() {
  const file = join(mountPoint, 'state', 'memory')
  run('dd', 'if=/dev/zero', `of=${file}`, 'bs=1M', 'count=1100')
  fs.rmSync(file)
}

/** Writes out what is still to be written, so that the next one measured does not wait for it. */
export function settleDisk() {
  run('sync', '-f', mountPoint)
}
