import type { FirstAdmin } from '../config/first-start.js'
import { shownCatalog } from '../config/catalogs.js'
import type { Config } from '../config/load.js'
import { shownMounts } from '../config/mount-settings.js'
import { addressesOf } from '../transport/endpoint.js'
import type { Listening } from '../transport/node-http.js'
import type { Certificate } from '../transport/self-signed.js'

/** What a person is told of a certificate. */
export type ShownCertificate = Pick<Certificate, 'file' | 'fingerprint'>

export interface BannerFacts {
  readonly config: Config
  readonly listening: readonly Listening[]
  readonly admin: FirstAdmin | undefined
  readonly certificate: ShownCertificate | undefined
}

/** What a person wants to know once the server runs: where it is, who may enter, how to mount it. */
export function banner({ config, listening, admin, certificate }: BannerFacts): string {
  const urls = listening.flatMap(({ url }) => reachable(url)).map((url) => `${url}${config.basePath}/`)
  const lines = [
    '',
    `Serving ${shownMounts(config.mounts)} (${shownCatalog(config)})`,
    ...urls.map((url) => `  ${url}`),
  ]
  if (admin?.password !== undefined)
    lines.push(
      '',
      `First start: the user is admin, the password ${admin.password}`,
      '  It is shown this once; "postern user passwd admin" sets another.',
    )
  else if (admin !== undefined)
    lines.push('', 'First start: the user is admin, with the password from POSTERN_ADMIN_PASSWORD.')
  if (certificate !== undefined)
    lines.push('', `Certificate made here: ${certificate.file}`, `  SHA-256 ${certificate.fingerprint}`)
  const [first] = urls
  if (first !== undefined) lines.push('', 'To mount it:', ...mountLines(first, admin?.name ?? 'NAME', certificate))
  return lines.join('\n')
}

/** URLs that work from elsewhere, for listeners on every address. */
function reachable(url: string): readonly string[] {
  if (url.startsWith('unix:')) return []
  const { protocol, hostname, port } = new URL(url)
  const tail = port === '' ? '' : `:${port}`
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  if (addressesOf(host)[0] === host) return [`${protocol}//${hostname}${tail}`]
  return addressesOf(host).map((address) => `${protocol}//${address}${tail}`)
}

function mountLines(url: string, user: string, certificate: ShownCertificate | undefined): readonly string[] {
  const secure = url.startsWith('https:')
  const dav = url.replace(/^http/, 'dav').replace('://', `://${user}@`)
  const windows = secure
    ? [
        ...(certificate === undefined
          ? []
          : [
              `once, as administrator: certutil -addstore Root ${certificate.file.replace(/^.*\//, '')}   (copy the file there)`,
            ]),
        `net use * ${url} /user:${user} *`,
      ]
    : [
        `net use * ${url} /user:${user} *`,
        'Windows sends passwords over TLS only: start with --tls self-signed, or, as administrator on that machine,',
        'reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\WebClient\\Parameters /v BasicAuthLevel /t REG_DWORD /d 2 /f',
        'net stop webclient & net start webclient',
      ]
  return [
    ...block('macOS', [
      `Finder, Go, Connect to Server (Command-K): ${url}`,
      `mkdir -p ~/postern && mount_webdav -i ${url} ~/postern`,
    ]),
    ...block('Windows', windows),
    ...block('Linux', [`gio mount ${dav}`, `sudo mount -t davfs ${url} /mnt`]),
  ]
}

function block(name: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, index) => `  ${(index === 0 ? name : '').padEnd(9)}${line}`)
}
