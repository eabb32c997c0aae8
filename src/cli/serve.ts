import type { Command } from 'commander'
import { collect, withConfigOptions } from './options.js'
import type { ServeOptions } from './options.js'
import { serve } from './serve/run.js'

const help = `
Examples:
  postern serve                                serve ./data on http://127.0.0.1:8080
  postern serve /srv/files --listen 0.0.0.0:8443 --tls self-signed
  postern serve --config /etc/postern.yaml --workers 2
  postern serve --privsep /home --listen 0.0.0.0:443 --tls self-signed        as root: everybody as their Unix user

The first start makes the user "admin" and prints a password for it once, unless POSTERN_ADMIN_PASSWORD holds one.
A changed configuration file is picked up while it runs; SIGHUP has it read again at once.`

/** `postern serve`. */
export function addServe(program: Command, finish: (code: number) => void): void {
  withConfigOptions(program.command('serve'))
    .description('serve a directory over WebDAV and HTTP')
    .argument('[dir]', 'the directory to serve (default: ./data, made if missing)')
    .option('--listen <address>', 'HOST:PORT or unix:PATH; may be given again (default: 127.0.0.1:8080)', collect)
    .option('--durability <how>', 'full: survives a power cut (default); fast: leaves that to the kernel')
    .option('--tls <how>', 'self-signed: HTTPS with a certificate made here')
    .option('--privsep', 'as root: have a process of each Unix user do what that user asks for (see docs/privsep.md)')
    .option('--workers <number>', 'how many processes answer (default: 1)')
    .addHelpText('after', help)
    .action(async (directory: string | undefined, options: ServeOptions) => {
      finish(await serve(options, directory))
    })
}
