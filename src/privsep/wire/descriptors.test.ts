import { spawnSync } from 'node:child_process'
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { loadNative, fileFact, fileFactsLength } from '../../store/native.js'
import type { NativeCalls } from '../../store/native.js'
import { openDescriptors } from './descriptors.js'
import { openLink } from './link.js'
import type { LinkOptions } from './link.js'
import { openMounted, parseMounts } from './mounted.js'

const addon = loadNative()
const canSend = process.platform === 'linux' && addon !== undefined
const python = spawnSync('python3', ['-c', 'import socket; socket.send_fds']).status === 0

/** Sends to the socket that is its standard input what the addon never would. */
function hostile(socket: number, script: string): void {
  const lines = ['import os, socket', 's = socket.socket(fileno=0)', script]
  const { status, stderr } = spawnSync('python3', ['-c', lines.join('\n')], { stdio: [socket, 'ignore', 'pipe'] })
  expect(status, String(stderr)).toBe(0)
}

describe.runIf(canSend)('descriptors beside a link', () => {
  const calls = addon as NativeCalls
  const folder = mkdtempSync(join(tmpdir(), 'descriptors-'))
  const file = join(folder, 'file')
  const path = join(folder, 's')
  const server = createServer({ pauseOnConnect: true })
  const mounted = openMounted(calls)

  beforeAll(async () => {
    writeFileSync(file, 'what is in it')
    await new Promise<void>((resolve) => server.listen(path, resolve))
  })

  afterAll(() => {
    server.close()
    mounted.close()
    rmSync(folder, { recursive: true })
  })

  /** A channel and the raw socket at its other end. */
  async function channelAndPeer() {
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
    const channel = calls.connectUnix(path)
    const other = await accepted
    const peer = (other as unknown as { readonly _handle: { readonly fd: number } })._handle.fd
    const descriptors = openDescriptors(channel, calls, mounted)
    // Its socket is closed by Node, whose it is.
    const lent: NativeCalls = { ...calls, closeDetached: (fd) => (fd === peer ? 0 : calls.closeDetached(fd)) }
    onTestFinished(() => {
      descriptors.close()
      other.destroy()
    })
    return { descriptors, channel, peer, sender: openDescriptors(peer, lent, mounted), other }
  }

  function opened(name: string, flags: string | number = 'r'): number {
    const descriptor = openSync(name, flags)
    onTestFinished(() => closeSync(descriptor))
    return descriptor
  }

  /** What this process has open, by what it is. */
  function openHere(): readonly string[] {
    return readdirSync('/proc/self/fd').flatMap((name) => {
      try {
        return [readlinkSync(`/proc/self/fd/${name}`)]
      } catch {
        return []
      }
    })
  }

  function copiesOf(name: string): number {
    return openHere().filter((target) => target === name).length
  }

  /** Closing is done by a thread that nobody waits for. */
  async function untilNoneIs(pattern: RegExp): Promise<void> {
    while (openHere().some((target) => pattern.test(target))) await new Promise((resolve) => setImmediate(resolve))
  }

  it('takes nothing that was not sent', async () => {
    const { descriptors } = await channelAndPeer()
    expect(() => descriptors.receive(0)).toThrow(/did not come \(errno 11\)/)
  })

  it('takes nothing from one who has gone, nor once it is closed', async () => {
    const { descriptors, other } = await channelAndPeer()
    other.destroy()
    await new Promise((resolve) => other.once('close', resolve))
    expect(() => descriptors.receive(0)).toThrow(/did not come/)
    expect(() => descriptors.send(0)).toThrow('cannot be handed over')
    descriptors.close()
    descriptors.close()
    expect(() => descriptors.receive(0)).toThrow(/did not come/)
    expect(() => descriptors.send(0)).toThrow('cannot be handed over')
  })

  it.each([
    ['eight bytes without a descriptor', Buffer.alloc(8)],
    ['fewer bytes', Buffer.alloc(3)],
    ['many bytes', Buffer.alloc(1000, 1)],
  ])('refuses %s', async (_, bytes) => {
    const { descriptors, peer } = await channelAndPeer()
    writeSync(peer, bytes)
    expect(() => descriptors.receive(0)).toThrow(/did not come \(errno 71\)/)
  })

  it('refuses the number of another, and closes what came with it', async () => {
    const { descriptors, sender } = await channelAndPeer()
    const marked = join(folder, 'marked-number')
    writeFileSync(marked, '')
    const descriptor = openSync(marked, 'r')
    expect(sender.send(descriptor)).toBe(0)
    closeSync(descriptor)
    expect(() => descriptors.receive(1)).toThrow('descriptor 0 in place of 1')
    await untilNoneIs(/marked-number$/)
  })

  it.each([
    ['a directory', () => opened('/', 'r')],
    ['a directory opened as a path alone', () => opened('/', constants.O_DIRECTORY | 0o10000000)],
    ['a device', () => opened('/dev/null', 'r')],
    ['a terminal', () => opened('/dev/ptmx', 'r+')],
    ['a socket', async () => (await channelAndPeer()).channel],
    ['a pipe', () => opened(`/proc/self/fd/${readdirSync('/proc/self/fd').find((name) => isPipe(name)) ?? ''}`, 'r')],
  ])('refuses %s', async (_, make) => {
    const { descriptors, sender } = await channelAndPeer()
    expect(sender.send(await make())).toBe(0)
    expect(() => descriptors.receive(0)).toThrow(/did not come \(errno 22\)/)
  })

  it.each([
    ['a part of the kernel that looks like a file', '/proc/self/maps', 'proc'],
    ['a setting of the kernel', '/sys/kernel/mm/transparent_hugepage/enabled', 'sysfs'],
  ])('refuses %s', async (_, name, kind) => {
    const { descriptors, sender } = await channelAndPeer()
    expect(sender.send(opened(name))).toBe(0)
    expect(mounted.mayTravel(opened(name))).toBe(false)
    expect(() => descriptors.receive(0)).toThrow(`of the kind ${kind}`)
  })

  describe.runIf(python)('from one who sends', () => {
    it.each([
      ['two at once', 'f = os.open("/etc/passwd", 0); socket.send_fds(s, [bytes(8)], [f, f])'],
      ['as many as go into a message', 'f = os.open("/etc/passwd", 0); socket.send_fds(s, [bytes(8)], [f] * 253)'],
      ['one with fewer bytes', 'f = os.open("/etc/passwd", 0); socket.send_fds(s, [bytes(1)], [f])'],
    ])('%s takes none, and keeps none', async (_, script) => {
      const { descriptors, peer } = await channelAndPeer()
      hostile(peer, script)
      expect(() => descriptors.receive(0)).toThrow(/did not come \(errno 71\)/)
      await untilNoneIs(/^\/etc\/passwd$/)
    })

    it('memory that looks like a file takes none, and keeps none', async () => {
      const { descriptors, peer } = await channelAndPeer()
      hostile(peer, 'socket.send_fds(s, [bytes(8)], [os.memfd_create("marked-memory")])')
      expect(() => descriptors.receive(0)).toThrow('of the kind unknown')
      await untilNoneIs(/marked-memory/)
    })
  })

  it('has room for many that nobody asks for, and keeps none of them open', async () => {
    const { descriptors, sender } = await channelAndPeer()
    const descriptor = opened(file)
    let sent = 0
    while (sender.send(descriptor) !== undefined) sent += 1
    expect(sent).toBeGreaterThan(10)
    expect(sent).toBeLessThan(5000)
    expect(copiesOf(file)).toBe(1)
    // There is room again once one is taken, and the numbers go on.
    for (let number = 0; number < 10; number++) closeSync(descriptors.receive(number))
    expect(sender.send(descriptor)).toBe(sent)
  })

  it('gives the file that was sent, each by its number, closed in programs that this one runs', async () => {
    const { descriptors, sender } = await channelAndPeer()
    expect(mounted.mayTravel(opened(file))).toBe(true)
    expect([sender.send(opened(file)), sender.send(opened(file, 'r+'))]).toEqual([0, 1])
    const [first, second] = [descriptors.receive(0), descriptors.receive(1)]
    onTestFinished(() => closeSync(first))
    onTestFinished(() => closeSync(second))
    expect(fstatSync(first).ino).toBe(statSync(file).ino)
    const bytes = Buffer.alloc(4)
    readSync(first, bytes, 0, 4, 0)
    expect(bytes.toString()).toBe('what')
    writeSync(second, 'W', 0)
    expect(readFileSync(file, 'latin1')).toBe('What is in it')
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${first}`, 'utf8'))?.[1] ?? ''
    expect(Number.parseInt(flags, 8) & 0o2000000).not.toBe(0)
  })

  it('tells of a file how it was opened, and where', () => {
    const facts = new Float64Array(fileFactsLength)
    expect(calls.openFacts(opened(file, 'r+'), facts)).toBe(0)
    expect((facts[fileFact.flags] ?? 0) & 3).toBe(constants.O_RDWR)
    expect(facts[fileFact.size]).toBe(13)
    expect(mounted.kindOf(facts[fileFact.mount] ?? -1)).toMatch(/^[a-z0-9]+$/)
    expect(calls.openFacts(-1, facts)).toBe(-9)
    expect(mounted.mayTravel(-1)).toBe(false)
  })

  describe('answers', () => {
    const limits = { table: {}, maxAnswerBytes: 10_000, maxAtOnce: 4 }

    /** Two links with a channel beside them; the second one answers. */
    async function links(options: Partial<LinkOptions>) {
      const first = new Promise<Socket>((resolve) => server.once('connection', resolve))
      const socket = connect(path)
      const accepted = await first
      const { descriptors, sender, peer } = await channelAndPeer()
      const link = openLink(socket, { ...limits, descriptors })
      const answering = openLink(accepted, { ...limits, descriptors: sender, ...options })
      onTestFinished(() => {
        link.close()
        answering.close()
      })
      return { link, answering, sender, peer }
    }

    it('bring the open file along, and close it where it came from unless it is kept', async () => {
      const marked = join(folder, 'marked-sent')
      writeFileSync(marked, 'what is in it')
      let kept = -1
      const open = (keeps: boolean) => ({
        maxBytes: 1000,
        handle: () => {
          kept = openSync(marked, 'r')
          return { head: { size: 13 }, descriptor: kept, keeps }
        },
      })
      const { link } = await links({ table: { open: open(false), keep: open(true) } })
      for (const [name, copies] of [
        ['open', 1],
        ['keep', 2],
      ] as const) {
        const { head, descriptor = -1 } = await link.ask(name)
        expect(head).toEqual({ size: 13 })
        expect(fstatSync(descriptor).ino).toBe(statSync(marked).ino)
        expect(copiesOf(marked)).toBe(copies)
        closeSync(descriptor)
      }
      closeSync(kept)
      expect(copiesOf(marked)).toBe(0)
    })

    it('wait while the other side has taken none for long, and come all', async () => {
      const open = { maxBytes: 1000, handle: () => ({ descriptor: openSync(file, 'r') }) }
      const { link } = await links({ table: { open }, maxAtOnce: 2000 })
      const all = await Promise.all(Array.from({ length: 1500 }, () => link.ask('open')))
      const numbers = all.map(({ descriptor = -1 }) => descriptor)
      expect(new Set(numbers).size).toBe(1500)
      for (const descriptor of numbers) closeSync(descriptor)
      expect(copiesOf(file)).toBe(0)
    })

    it('that nobody waits for any more are closed', async () => {
      const marked = join(folder, 'marked-abandoned')
      writeFileSync(marked, '')
      let answer: (() => void) | undefined
      const handle = async () => {
        await new Promise<void>((resolve) => (answer = resolve))
        return { descriptor: openSync(marked, 'r') }
      }
      const { link } = await links({
        table: { open: { maxBytes: 1000, handle }, echo: { maxBytes: 1000, handle: () => undefined } },
      })
      const controller = new AbortController()
      const asked = link.ask('open', {}, { signal: controller.signal })
      await link.ask('echo')
      controller.abort()
      await expect(asked).rejects.toMatchObject({ kind: 'incomplete' })
      answer?.()
      await link.ask('echo')
      await untilNoneIs(/marked-abandoned$/)
    })

    it('with a descriptor of the wrong kind end the link, and nothing stays open', async () => {
      const handle = () => ({ descriptor: openSync('/proc/self/maps', 'r') })
      const { link, answering } = await links({ table: { open: { maxBytes: 1000, handle } } })
      await expect(link.ask('open')).rejects.toMatchObject({ kind: 'unavailable' })
      await expect(link.closed).resolves.toMatchObject({
        how: 'violation',
        why: expect.stringContaining('proc') as unknown,
      })
      await expect(answering.closed).resolves.toEqual({ how: 'gone' })
      await untilNoneIs(/\/maps$/)
    })

    it('that come after a descriptor which nobody has announced end the link', async () => {
      const open = { maxBytes: 1000, handle: () => ({ descriptor: openSync(file, 'r') }) }
      const { link, peer } = await links({ table: { open } })
      expect(calls.sendDescriptor(peer, opened(file), 7)).toBe(0)
      await expect(link.ask('open')).rejects.toMatchObject({ kind: 'unavailable' })
      await expect(link.closed).resolves.toMatchObject({ how: 'violation', why: 'descriptor 7 in place of 0' })
    })

    it('that cannot be sent are failures, and leave nothing open', async () => {
      const marked = join(folder, 'marked-unsent')
      writeFileSync(marked, '')
      const open = { maxBytes: 1000, handle: () => ({ descriptor: openSync(marked, 'r') }) }
      const { link, sender } = await links({ table: { open } })
      sender.close()
      await expect(link.ask('open')).rejects.toMatchObject({ kind: 'unavailable' })
      await untilNoneIs(/marked-unsent$/)
    })
  })
})

describe.runIf(canSend)('the table of mounts', () => {
  it('is read again when something is mounted, for numbers are given anew', async ({ skip }) => {
    const calls = addon as NativeCalls
    const folder = mkdtempSync(join(tmpdir(), 'mounted-'))
    const mounted = openMounted(calls)
    const facts = new Float64Array(fileFactsLength)
    const numberOf = (name: string): number => {
      const descriptor = openSync(name, 'r')
      calls.openFacts(descriptor, facts)
      closeSync(descriptor)
      return facts[fileFact.mount] ?? -1
    }
    onTestFinished(() => {
      mounted.close()
      rmSync(folder, { recursive: true })
    })
    expect(mounted.isPlain(numberOf(process.execPath))).toBe(true)
    if (spawnSync('mount', ['-t', 'tmpfs', 'none', folder]).status !== 0) skip('nothing may be mounted here')
    const first = numberOf(folder)
    expect([mounted.kindOf(first), mounted.isPlain(first)]).toEqual(['tmpfs', true])
    spawnSync('umount', [folder])
    expect(mounted.kindOf(first)).toBeUndefined()
    spawnSync('mount', ['-t', 'proc', 'none', folder])
    const second = numberOf(folder)
    expect([mounted.kindOf(second), mounted.isPlain(second)]).toEqual(['proc', false])
    spawnSync('umount', [folder])
    expect(mounted.isPlain(second)).toBe(false)
  })

  it('lets nothing travel from a network, another program or a kind that is not known', () => {
    const folder = mkdtempSync(join(tmpdir(), 'mounts-'))
    const table = join(folder, 'mountinfo')
    const kinds = ['ext4', 'xfs', 'nfs', 'nfs4', 'cifs', 'smb3', 'ceph', '9p', 'virtiofs', 'fuse', 'fuseblk', 'fuse.sshfs', 'autofs', 'proc', 'new'] // prettier-ignore
    writeFileSync(table, kinds.map((kind, number) => `${number} 1 0:5 / /a rw - ${kind} none rw`).join('\n'))
    const mounted = openMounted(addon as NativeCalls, table)
    expect(kinds.filter((_, number) => mounted.isPlain(number))).toEqual(['ext4', 'xfs'])
    mounted.close()
    rmSync(folder, { recursive: true })
  })

  it('is read whatever paths and options stand in it', () => {
    const table = [
      '21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '22 21 0:5 / /mnt/a\\040-\\040tmpfs\\040b rw master:1 propagate_from:2 - fuse.sshfs alice@there rw - ext4 x',
      '23 21 0:6 / /b rw - autofs none rw',
      'nonsense',
      '24 21 0:7 / /c rw',
      '',
    ].join('\n')
    expect([...parseMounts(table)]).toEqual([
      [21, 'ext4'],
      [22, 'fuse.sshfs'],
      [23, 'autofs'],
    ])
  })
})

function isPipe(name: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${name}`).startsWith('pipe:')
  } catch {
    return false
  }
}
