import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type FailureKind, isFailure } from '../../core/failure.js'
import { isFileRange } from '../../core/http.js'
import { toPath } from '../../core/path.js'
import { openLocalStore } from '../local.js'
import { loadNative } from '../native.js'

const p = toPath
const ways = loadNative() === undefined ? [false] : [true, false]

/** The store as a program without vitest can load it. */
let built: string
let root: string
let children: ChildProcess[]

beforeAll(() => {
  built = mkdtempSync(join(tmpdir(), 'postern-built-'))
  chmodSync(built, 0o755)
  writeFileSync(join(built, 'package.json'), '{"type":"module"}')
  for (const folder of ['core', 'store', 'store/local']) {
    mkdirSync(join(built, 'src', folder), { recursive: true })
    const source = join(import.meta.dirname, '../..', folder)
    for (const file of readdirSync(source).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))) {
      const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
      const { outputText } = ts.transpileModule(readFileSync(join(source, file), 'utf8'), { compilerOptions })
      writeFileSync(join(built, 'src', folder, file.replace(/\.ts$/, '.js')), outputText)
    }
  }
  symlinkSync(join(import.meta.dirname, '../../../native'), join(built, 'native'))
})

afterAll(() => rmSync(built, { recursive: true }))

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-processes-'))
  children = []
})

afterEach(async () => {
  vi.useRealTimers()
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(root, { recursive: true, force: true })
})

/**
 * Runs a script with `store`, `p` and `body` at hand; what it prints comes as lines. It becomes another user only after it
 * has started, for this Node may not be theirs to start.
 */
function run(
  script: string,
  native: boolean,
  durability = 'fast',
  uid?: number,
): { child: ChildProcess; lines: AsyncIterator<string> } {
  const from = (file: string): string => JSON.stringify(pathToFileURL(join(built, 'src', file)).href)
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `import { openLocalStore } from ${from('store/local.js')}
       import { toPath as p } from ${from('core/path.js')}
       const options = ${JSON.stringify({ root, durability, symlinks: 'absent', native })}
       ${uid === undefined ? '' : `process.setgroups([]); process.setgid(${uid}); process.setuid(${uid})`}
       const store = await openLocalStore(options)
       async function* body(text) { yield Buffer.from(text) }
       async function text(path) {
         const content = await store.open(p(path))
         const bytes = content.bytes()
         if (bytes instanceof Uint8Array) return [Buffer.from(bytes).toString(), content.entry.etag]
         const whole = Buffer.alloc(bytes.end)
         fs.readSync(bytes.fd, whole, 0, bytes.end, 0)
         bytes.close()
         return [whole.toString(), content.entry.etag]
       }
       import fs from 'node:fs'
       ${script}
       await store.close()`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' },
  )
  children.push(child)
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
}

async function nextLine(lines: AsyncIterator<string>): Promise<string | undefined> {
  const next = await lines.next()
  return next.done === true ? undefined : next.value
}

describe.each(ways)('several processes, addon: %s', (native) => {
  it('keeps the old content and leaves nothing after a kill in the middle of a write', async () => {
    const store = await openLocalStore({ root, durability: 'full', symlinks: 'absent', native })
    await store.write(p('/d/f'), body('old'), { parents: true })
    const { child, lines } = run(
      `await store.write(p('/d/f'), (async function* () {
         for (let i = 0; i < 3; i++) yield Buffer.alloc(1 << 20)
         while (fs.readdirSync(${JSON.stringify(join(root, 'd'))}).length < 2) await new Promise(setImmediate)
         console.log('midway')
         setInterval(() => {}, 1000)
         await new Promise(() => {})
       })())`,
      native,
      'full',
    )
    expect(await nextLine(lines)).toBe('midway')
    expect(readdirSync(join(root, 'd'))).toHaveLength(2)
    // Long after, as far as the sweep knows. Only locks can tell then that somebody is still writing.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3600_000 })
    expect(await store.sweep()).toBe(0)
    child.kill('SIGKILL')
    await once(child, 'exit')
    if (!native) vi.setSystemTime(Date.now() + 24 * 3600_000)
    expect(await store.sweep()).toBe(1)
    expect(readdirSync(join(root, 'd'))).toEqual(['f'])
    expect(readFileSync(join(root, 'd', 'f'), 'utf8')).toBe('old')
    await store.close()
  })

  it('finishes on the next start a removal that was killed', async () => {
    for (let i = 0; i < 50; i++) {
      mkdirSync(join(root, 'd', String(i)), { recursive: true })
      for (let j = 0; j < 20; j++) writeFileSync(join(root, 'd', String(i), String(j)), '')
    }
    const { child, lines } = run(`await store.removeTree(p('/d')); process.kill(process.pid, 'SIGKILL')`, native)
    expect(await nextLine(lines)).toBeUndefined()
    if (child.signalCode === null) await once(child, 'exit')
    expect(existsSync(join(root, 'd'))).toBe(false)
    const swept = new Promise<number>((resolve) => {
      void openLocalStore({ root, durability: 'fast', symlinks: 'absent', native, onSweep: resolve }).then(
        async (store) => {
          await swept
          await store.close()
        },
      )
    })
    expect(await swept).toBeLessThanOrEqual(1)
    expect(readdirSync(root)).toEqual([])
  })

  it('takes away the copy of a tree whose process was killed, and not before', async () => {
    mkdirSync(join(root, 'd'))
    for (let i = 0; i < 20_000; i++) writeFileSync(join(root, 'd', String(i)), 'x')
    const { child, lines } = run(
      `const copying = store.copyTree(p('/d'), p('/e'))
       setImmediate(() => {
         console.log(fs.readdirSync(${JSON.stringify(root)}).length)
         process.kill(process.pid, 'SIGSTOP')
       })
       await copying`,
      native,
    )
    expect(await nextLine(lines)).toBe('2')
    const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent', native, sweeps: false })
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3600_000 })
    expect(await store.sweep()).toBe(0)
    expect(readdirSync(root)).toHaveLength(2)
    child.kill('SIGKILL')
    await once(child, 'exit')
    if (!native) vi.setSystemTime(Date.now() + 24 * 3600_000)
    expect(await store.sweep()).toBe(1)
    expect(readdirSync(root)).toEqual(['d'])
    await store.close()
  })

  it('leaves out what may not be read, member by member', async ({ skip }) => {
    if (process.getuid?.() !== 0) skip('only root can become somebody else')
    chmodSync(root, 0o777)
    mkdirSync(join(root, 'd', 'closed'), { recursive: true })
    writeFileSync(join(root, 'd', 'f'), 'x')
    writeFileSync(join(root, 'd', 'secret'), 'x', { mode: 0o600 })
    chmodSync(join(root, 'd', 'closed'), 0o700)
    const { child, lines } = run(
      `console.log(await store.copyTree(p('/d'), p('/e')).catch(({ kind }) => kind))`,
      native,
      'fast',
      65534,
    )
    expect(await nextLine(lines)).toBe('unsupported')
    await once(child, 'exit')
    expect(readdirSync(root)).toEqual(['d'])
  })

  it('lets exactly one process make each name', async () => {
    const script = `
      let won = 0
      for (let i = 0; i < 200; i++)
        try { await store.write(p('/f' + i), body(String(process.pid)), { ifNoneMatch: '*' }); won++ }
        catch (error) { if (error.kind !== 'precondition') throw error }
      console.log(won)`
    const runs = [run(script, native), run(script, native), run(script, native)]
    const won = await Promise.all(runs.map(async ({ lines }) => Number(await nextLine(lines))))
    expect(won[0]! + won[1]! + won[2]!).toBe(200)
    expect(readdirSync(root)).toHaveLength(200)
  })

  // Without the addon there are no locks between processes, as `procCalls` says.
  it.runIf(native)('loses no update that was made under If-Match', async () => {
    writeFileSync(join(root, 'count'), '0')
    const script = `
      for (let done = 0; done < 100; ) {
        const [value, etag] = await text('/count')
        try { await store.write(p('/count'), body(String(Number(value) + 1)), { ifMatch: [etag] }); done++ }
        catch (error) { if (error.kind !== 'precondition') throw error }
      }
      console.log('done')`
    const runs = [run(script, native), run(script, native), run(script, native)]
    for (const { lines } of runs) expect(await nextLine(lines)).toBe('done')
    expect(readFileSync(join(root, 'count'), 'utf8')).toBe('300')
  })

  it('never touches what lies outside while directories and files are swapped for links', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'postern-outside-'))
    try {
      for (const directory of [join(root, 'd'), outside]) {
        mkdirSync(join(directory, 'e'), { recursive: true })
        const inside = directory === outside ? 'outside' : 'inside'
        for (const file of ['f', 'e/f']) writeFileSync(join(directory, file), inside)
      }
      const swapper = spawn(
        process.execPath,
        [
          '--eval',
          `const fs = require('fs')
           process.chdir(${JSON.stringify(root)})
           console.log('swapping')
           const quietly = (call) => { try { call() } catch {} }
           for (;;) {
             for (const [own, away, link] of [['d', 'away', ${JSON.stringify(outside)}], ['d/f', 'd/g', ${JSON.stringify(outside)} + '/f']]) {
               quietly(() => fs.renameSync(own, away))
               quietly(() => fs.symlinkSync(link, own))
               quietly(() => { if (fs.lstatSync(own).isSymbolicLink()) fs.unlinkSync(own) })
               quietly(() => { if (!fs.existsSync(own)) fs.renameSync(away, own) })
             }
           }`,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      children.push(swapper)
      await once(swapper.stdout, 'data')
      const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent', native })
      const seen = new Set<string>()
      const end = performance.now() + 1500
      let read = 0
      for (let round = 0; performance.now() < end; round++) {
        for (const path of ['/d/f', '/d/e/f']) {
          await kindOf(
            (async () => {
              const content = await store.open(p(path))
              const bytes = content.bytes()
              if (bytes instanceof Uint8Array) seen.add(Buffer.from(bytes).toString())
              else if (isFileRange(bytes)) {
                seen.add(readFileSync(bytes.fd, 'utf8'))
                bytes.close()
              } else throw new Error('no range')
              read++
            })(),
          )
        }
        const name = p(`/d/new${round % 5}`)
        await kindOf(store.write(name, body('ours')))
        await kindOf(store.write(p('/d/f'), body('inside')))
        await kindOf(store.write(p('/d/e/deep/f'), body('inside'), { parents: true }))
        await kindOf(store.makeDirectory(p(`/d/dir${round % 5}`)))
        await kindOf(store.copy(p('/d/f'), p('/d/e/copy'), { overwrite: true }))
        await kindOf(store.move(p('/d/e/copy'), p('/d/copy'), { overwrite: true }))
        await kindOf(store.remove(name))
        await kindOf(store.removeTree(p('/d/e/deep')))
        await kindOf(store.copyTree(p('/d'), p('/copied')))
        await kindOf(store.change(p('/d/f'), { modified: 1000 }))
        await kindOf(
          (async () => {
            for await (const batch of store.list(p('/'), { depth: 'infinity' }))
              for (const entry of batch) expect(entry.size).not.toBe('outside'.length)
          })(),
        )
        await kindOf(store.removeTree(p('/copied')))
      }
      swapper.kill('SIGKILL')
      await once(swapper, 'exit')
      await store.close()
      expect(read).toBeGreaterThan(0)
      expect([...seen]).toEqual(['inside'])
      expect(readdirSync(outside).sort()).toEqual(['e', 'f'])
      expect(readdirSync(join(outside, 'e'))).toEqual(['f'])
      for (const file of ['f', 'e/f']) expect(readFileSync(join(outside, file), 'utf8')).toBe('outside')
    } finally {
      rmSync(outside, { recursive: true })
    }
  })

  it('takes nothing away where some of it could not go', async ({ skip }) => {
    if (process.geteuid?.() !== 0) skip('only root can become somebody else')
    chmodSync(root, 0o777)
    const uid = 65534
    const { lines } = run(
      `await store.write(p('/d/e/f'), body('x'), { parents: true })
       fs.chmodSync(${JSON.stringify(join(root, 'd', 'e'))}, 0o555)
       const outcome = async (work) => { try { await work; return 'done' } catch (error) { return error.kind } }
       console.log(await outcome(store.removeTree(p('/d'))))
       console.log(await outcome(store.remove(p('/d/e/f'))))
       console.log(await outcome(store.write(p('/d/e/f'), body('y'))))
       console.log(await outcome(store.write(p('/d/e/g/h'), body('y'), { parents: true })))
       fs.chmodSync(${JSON.stringify(join(root, 'd', 'e'))}, 0o333)
       console.log(await outcome(store.write(p('/d/e/g'), body('y'))))
       fs.chmodSync(${JSON.stringify(join(root, 'd', 'e'))}, 0o755)
       console.log((await text('/d/e/f'))[0])
       console.log(await outcome(store.removeTree(p('/d'))))`,
      native,
      'full',
      uid,
    )
    for (const expected of ['denied', 'denied', 'denied', 'denied', 'done', 'x', 'done'])
      expect(await nextLine(lines)).toBe(expected)
  })
})

it('copies by sharing blocks where the disk can', async ({ skip }) => {
  const image = join(root, 'image')
  const disk = join(root, 'disk')
  mkdirSync(disk)
  if (loadNative() === undefined) skip('only the addon can')
  try {
    execFileSync('truncate', ['-s', '320M', image])
    execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image], { stdio: 'ignore' })
    execFileSync('mount', ['-o', 'loop', image, disk], { stdio: 'ignore' })
  } catch {
    skip('no xfs, or mounting is not allowed here')
  }
  try {
    const store = await openLocalStore({ root: disk, durability: 'full', symlinks: 'absent' })
    await store.write(p('/f'), body('x'.repeat(32 * 1024 * 1024)))
    const before = (await store.space(p('/'))).available ?? 0
    await store.copy(p('/f'), p('/g'), { overwrite: false })
    expect(before - ((await store.space(p('/'))).available ?? 0)).toBeLessThan(4 * 1024 * 1024)
    expect(readFileSync(join(disk, 'g')).equals(readFileSync(join(disk, 'f')))).toBe(true)
    await store.close()
  } finally {
    execFileSync('umount', [disk])
  }
})

async function* body(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

async function kindOf(promise: Promise<unknown>): Promise<FailureKind | 'none'> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (isFailure(error)) return error.kind
    throw error
  }
}
