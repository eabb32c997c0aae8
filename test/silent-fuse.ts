import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { system } from './unix-users.js'

/** Answers what a mount needs, and whoever looks for a name in it never: not even by SIGKILL does such a process end. */
const program = `
import array, os, socket, struct, subprocess, sys
here, there = socket.socketpair()
os.set_inheritable(there.fileno(), True)
environment = dict(os.environ, _FUSE_COMMFD=str(there.fileno()))
mounting = subprocess.Popen(['fusermount3', '-o', 'fsname=silent', '--', sys.argv[1]], env=environment, close_fds=False)
_, ancillary, _, _ = here.recvmsg(1, socket.CMSG_SPACE(4))
mounting.wait()
fuse = array.array('i', ancillary[0][2])[0]
while True:
    question = os.read(fuse, 1 << 20)
    _, code, number, _ = struct.unpack('<IIQQ', question[:24])
    def reply(data, error=0):
        os.write(fuse, struct.pack('<IiQ', 16 + len(data), error, number) + data)
    if code == 26:
        reply(struct.pack('<IIIIHHIIHHI', 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0) + bytes(28))
        print('mounted', flush=True)
    elif code == 3:
        reply(struct.pack('<QII', 0, 0, 0) + struct.pack('<6Q10I', 1, 4096, 8, 0, 0, 0, 0, 0, 0, 0o040755, 2, os.getuid(), os.getgid(), 0, 4096, 0))
    elif code == 1:
        print('asked', flush=True)
    elif code not in (2, 36, 42):
        reply(b'', -38)
`

/** A file system of a user in which every look for a name waits, in the kernel, until it is ended. */
export interface SilentFuse {
  /** Where it is mounted. */
  readonly folder: string
  /** Somebody looks for a name, and waits from now on. */
  readonly asked: Promise<void>
  /** Whoever waits goes on, and finds nothing. */
  end(): void
}

/** Mounts one below a folder of the user, as that user. Needs fusermount3 and python3. */
export async function mountSilentFuse(
  below: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): Promise<SilentFuse> {
  const [folder, file] = [join(below, 'silent'), join(below, 'silent.py')]
  mkdirSync(folder)
  writeFileSync(file, program)
  system('chown', [`${uid}:${gid}`, folder, file])
  const python = spawn('/usr/bin/python3', [file, folder], {
    uid,
    gid,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  const saying = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (said.includes(word)) resolve()
      }
      python.stdout.on('data', look)
      python.once('exit', () => reject(new Error(`the file system has ended before it said ${word}: ${said}`)))
      look()
    })
  python.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const asked = saying('asked')
  asked.catch(() => undefined)
  await saying('mounted')
  return {
    folder,
    asked,
    end() {
      system('umount', ['-l', folder])
      python.kill('SIGKILL')
    },
  }
}
