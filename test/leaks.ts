import { createHash } from 'node:crypto'

/** Shorter ones are found in words that mean something else. */
const fewestCharacters = 8
/** As they begin in files and tables: nothing that is logged looks so. */
const hashes = /\$(?:argon2(?:id|i|d)|2[abxy]|apr1|[156])\$|\{SHA\}/

/** The secrets that a test has used, and everything that must not show one. */
export class Leaks {
  readonly #secrets = new Set<string>()

  /** What came in as a secret: a password, a key, a token. */
  use(secret: string): void {
    if (secret.length >= fewestCharacters) this.#secrets.add(secret)
  }

  /** The secrets that a command has shown for the only time. */
  useShown(stdout: string): void {
    const shown =
      /(?:X-Api-Secret: |AWS_SECRET_ACCESS_KEY=|"(?:secret|secretAccessKey|token|clientToken|serverToken)":"|^ +(?=pstnt_))([^"\s]+)/gm
    for (const [, secret = ''] of stdout.matchAll(shown)) this.use(secret)
  }

  /** Throws where a text holds a secret, plain or in another form that gives it away, or a hash of one. */
  check(what: string, text: string): void {
    const hash = hashes.exec(text)
    if (hash !== null) throw new Error(`${what} holds a hash: ${around(text, hash.index)}`)
    for (const secret of this.#secrets)
      for (const [form, shown] of formsOf(secret)) {
        const index = text.indexOf(shown)
        if (index !== -1) throw new Error(`${what} holds a secret (${form}): ${around(text, index)}`)
      }
  }
}

function formsOf(secret: string): readonly (readonly [form: string, text: string])[] {
  const digests = ['sha1', 'sha256', 'sha512', 'sha3-256', 'md5'].flatMap((name) => {
    const digest = createHash(name).update(secret).digest()
    return [
      [`${name} in hex`, digest.toString('hex')],
      [`${name} in base64`, digest.toString('base64').replace(/=+$/, '')],
      [`${name} in base64url`, digest.toString('base64url')],
    ] as const
  })
  // Behind a name and a colon base64 of the same text comes in three forms; the edges hold bits of what is beside it.
  const inside = ['', '\0', '\0\0'].map((before) => {
    const whole = Buffer.from(before + secret).toString('base64').replace(/=+$/, '') // prettier-ignore
    return ['base64', whole.slice(before === '' ? 0 : 4, -1)] as const
  })
  const escaped = JSON.stringify(secret).slice(1, -1)
  return [
    ['plain', secret],
    ['as JSON', escaped],
    ['percent-encoded', encodeURIComponent(secret)],
    ...inside.filter(([, text]) => text.length >= fewestCharacters),
    ...digests,
  ]
}

function around(text: string, index: number): string {
  return JSON.stringify(text.slice(Math.max(0, index - 120), index + 80))
}
