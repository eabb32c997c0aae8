import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { permitOf } from '../../src/auth/grant.js'
import type { Credential, Directory, Verdict } from '../../src/auth/identity.js'

/** A caller that a rig has put into its source. */
export interface Held {
  /** What lets it in. */
  readonly right: Credential
  /** What its identity is called. */
  readonly name: string
}

/** One source with a directory upon it. Whatever changes the source resolves when the directory can be expected to know. */
export interface DirectoryRig {
  readonly directory: Directory
  /**
   * Puts a caller into the source. The name is of `a-z` and `0-9`, new in this rig. The secret is a wish: where the source
   * makes its own, or knows only certain callers, the answer says what it is, and what the name is.
   */
  hold(kind: Credential['kind'], name: string, secret: string): Promise<Held>
  /** Gives the caller another secret; what comes back is right from now on, the old is wrong. */
  change?(held: Held): Promise<Credential>
  disable?(held: Held): Promise<void>
  remove?(held: Held): Promise<void>
  /** Makes the source unreachable, for good. */
  breakDown?(): Promise<void>
  close?(): Promise<void>
}

/** What a source may be unable to show; the reason stands in the name of the test that is skipped. */
export type Inability =
  | 'change'
  | 'disable'
  | 'remove'
  | 'breakDown'
  /** Tell a name that it does not know from a wrong secret: it says `refused` to both. */
  | 'tellUnknown'

export interface DirectorySubject {
  readonly name: string
  /** What it accepts. */
  readonly kinds: readonly Credential['kind'][]
  /** What its rig can hold; all that it accepts, unless told otherwise. */
  readonly holds?: readonly Credential['kind'][]
  /** A fresh source; the first callers of a test are held in it. */
  open(): Promise<DirectoryRig>
  readonly cannot?: Readonly<Partial<Record<Inability, string>>>
}

const facts = { method: 'GET', target: '/', address: '192.0.2.7' }
const allKinds = ['password', 'api-key', 'bearer'] as const

/** Short enough for bcrypt, and nothing that stands in any message by chance. */
const secretOf = (name: string): string => `Sécret/of ${name}: 😀%41`

/** Texts that no caller is called and no secret is: each has broken a parser, a database or a C string somewhere. */
const odd: readonly (readonly [what: string, text: string])[] = [
  ['nothing', ''],
  ['NUL', '\0'],
  ['NUL inside', 'alice\0bob'],
  ['a line break', 'alice\r\nX-Evil: 1'],
  ['a lone surrogate', '\ud800'],
  ['right-to-left marks', '\u202eecila'],
  ['decomposed letters', 'jose\u0301'],
  ['an emoji', '👩‍👩‍👧‍👦'],
  ['the widest letters', '\u{10ffff}'.repeat(40)],
  ['a way up', '../../etc/passwd'],
  ['a slash', '/'],
  ['colons', ':::'],
  ['spaces', '   '],
  ['percent signs', '%00%2e%2e%2f'],
  ['SQL', `' OR 1=1 --`],
  ['a pattern', '*'],
  ['a regular expression', '.*|(a+)+$'],
  ['a member of every object', '__proto__'],
  ['another', 'constructor'],
  ['a placeholder', '{user}'],
  ['64 KiB', 'x'.repeat(65_536)],
  ['a megabyte', 'é'.repeat(524_288)],
]

/** What every source of identities must do. */
export function directoryContract(subject: DirectorySubject): void {
  const { kinds, holds = kinds, cannot = {} } = subject

  const withRig =
    (body: (rig: DirectoryRig) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const rig = await subject.open()
      try {
        await body(rig)
      } finally {
        await rig.close?.()
      }
    }

  /** A test that is skipped, with its reason, where the source cannot do it. */
  const itCan = (ability: Inability, what: string, body: (rig: DirectoryRig) => Promise<void>): void => {
    const reason = cannot[ability]
    it.skipIf(reason !== undefined)(reason === undefined ? what : `${what} (${reason})`, withRig(body))
  }

  const indistinct = cannot.tellUnknown !== undefined

  describe(`directory contract: ${subject.name}`, () => {
    it(
      'accepts what it says, and leaves everything else to others',
      withRig(async ({ directory }) => {
        expect([...directory.accepts].sort()).toEqual([...kinds].sort())
        for (const kind of allKinds.filter((other) => !kinds.includes(other)))
          expect(await directory.check(credential(kind, 'alice', 'secret'), facts)).toEqual({ kind: 'unknown' })
      }),
    )

    for (const kind of holds)
      describe(kind, () => {
        it(
          'refuses every secret that is not quite right',
          withRig(async (rig) => {
            const held = await rig.hold(kind, 'alice', secretOf('alice'))
            const other = await rig.hold(kind, 'bob', secretOf('bob'))
            const right = secretIn(held.right)
            for (const wrong of nearly(right)) {
              const verdict = await rig.directory.check(withSecret(held.right, wrong), facts)
              // A bearer token has no name beside it, so a wrong one is one that nobody knows.
              if (kind === 'bearer') expect([wrong, verdict.kind]).not.toEqual([wrong, 'identity'])
              else expect([wrong, verdict.kind]).toEqual([wrong, 'refused'])
            }
            if (kind !== 'bearer') {
              const crossed = await rig.directory.check(withSecret(held.right, secretIn(other.right)), facts)
              expect(crossed.kind).toBe(secretIn(other.right) === right ? 'identity' : 'refused')
            }
          }),
        )

        it(
          'does not know whom it does not hold',
          withRig(async (rig) => {
            const held = await rig.hold(kind, 'alice', secretOf('alice'))
            const strangers =
              kind === 'bearer'
                ? ['nobody', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.', 'x'.repeat(86)].map((text): Credential => ({
                    kind,
                    token: text,
                  }))
                : ['no-such-caller', `${nameIn(held.right)}x`, `x${nameIn(held.right)}`, `${nameIn(held.right)} `].map(
                    (name) => credential(kind, name, secretIn(held.right)),
                  )
            for (const stranger of strangers) {
              const verdict = await rig.directory.check(stranger, facts)
              if (indistinct) expect([stranger, verdict.kind]).toEqual([stranger, 'refused'])
              else expect([stranger, verdict]).toEqual([stranger, { kind: 'unknown' }])
            }
          }),
        )

        it(
          'has a verdict on any text, and lets none of them in',
          withRig(async (rig) => {
            const held = await rig.hold(kind, 'alice', secretOf('alice'))
            for (const [what, text] of odd) {
              const shown = [credential(kind, text, text)]
              if (kind !== 'bearer')
                shown.push(credential(kind, text, secretIn(held.right)), withSecret(held.right, text))
              for (const one of shown) {
                const verdict = await rig.directory.check(one, facts)
                expect([what, verdict.kind]).toEqual([what, expect.stringMatching(/^(?:unknown|refused)$/)])
              }
            }
            expect((await rig.directory.check(held.right, facts)).kind).toBe('identity')
          }),
        )

        it(
          'gives who it is as plain data: name, source, and grants that can be understood',
          withRig(async (rig) => {
            const held = await rig.hold(kind, 'alice', secretOf('alice'))
            const verdict = await rig.directory.check(held.right, facts)
            const { identity } = accepted(verdict)
            expect(identity).toMatchObject({ name: held.name, source: rig.directory.name })
            expect(() => permitOf(identity)).not.toThrow()
            expect(JSON.parse(JSON.stringify(verdict))).toEqual(verdict)
            expect(structuredClone(verdict)).toEqual(verdict)
            expect(accepted(await rig.directory.check(held.right, facts)).identity).toEqual(identity)
          }),
        )

        it(
          'tells no secret in any verdict',
          withRig(async (rig) => {
            const held = await rig.hold(kind, 'alice', secretOf('alice'))
            const right = secretIn(held.right)
            const wrong = withSecret(held.right, `${right}-not`)
            const stranger = credential(kind, 'nobody', right)
            for (const one of [held.right, wrong, stranger])
              expectNoSecret(await rig.directory.check(one, facts), right)
          }),
        )

        it(
          'answers many at once, each for itself',
          withRig(async (rig) => {
            const alice = await rig.hold(kind, 'alice', secretOf('alice'))
            const bob = await rig.hold(kind, 'bob', secretOf('bob'))
            const asked = Array.from({ length: 24 }, (_, at) => {
              const held = at % 2 === 0 ? alice : bob
              return at % 3 === 0 ? withSecret(held.right, `wrong ${at}`) : held.right
            })
            const verdicts = await Promise.all(asked.map((one) => rig.directory.check(one, facts)))
            verdicts.forEach((verdict, at) => {
              if (at % 3 === 0) expect([at, verdict.kind]).not.toEqual([at, 'identity'])
              else expect([at, accepted(verdict).identity.name]).toEqual([at, (at % 2 === 0 ? alice : bob).name])
            })
          }),
        )

        const changes: readonly (readonly [
          'change' | 'disable' | 'remove',
          (rig: DirectoryRig, held: Held) => Promise<unknown>,
        ])[] = [
          ['change', async (rig, held) => rig.change?.(held)],
          ['disable', async (rig, held) => rig.disable?.(held)],
          ['remove', async (rig, held) => rig.remove?.(held)],
        ]
        for (const [ability, apply] of changes)
          itCan(
            ability,
            `refuses the old credential after a ${ability}, and says so of what was remembered`,
            async (rig) => {
              const { directory } = rig
              const held = await rig.hold(kind, 'alice', secretOf('alice'))
              const other = await rig.hold(kind, 'bob', secretOf('bob'))
              const before = accepted(await directory.check(held.right, facts))
              const beforeOther = accepted(await directory.check(other.right, facts))
              expect(Object.keys(rig), 'the rig needs it, or the subject must say why it cannot').toContain(ability)
              const renewed = await apply(rig, held)
              expect((await directory.check(held.right, facts)).kind).not.toBe('identity')
              expect((await directory.check(other.right, facts)).kind).toBe('identity')
              if (ability === 'change')
                expect(accepted(await directory.check(renewed as Credential, facts)).identity.name).toBe(held.name)
              if (directory.current === undefined) return
              expect(before.stamp).toBeDefined()
              expect(await directory.current(before.identity, before.stamp ?? '')).toBe(false)
              expect(await directory.current(beforeOther.identity, beforeOther.stamp ?? '')).toBe(true)
            },
          )

        itCan('disable', 'refuses a disabled caller, and does not pass it on', async (rig) => {
          const held = await rig.hold(kind, 'alice', secretOf('alice'))
          await rig.disable?.(held)
          const verdict = await rig.directory.check(held.right, facts)
          expect(verdict).toEqual({ kind: 'refused', why: expect.any(String) as string })
          expectNoSecret(verdict, secretIn(held.right))
        })

        itCan('breakDown', 'says that the source is down, which is no verdict, and tells no secret', async (rig) => {
          const held = await rig.hold(kind, 'alice', secretOf('alice'))
          expect((await rig.directory.check(held.right, facts)).kind).toBe('identity')
          expect(Object.keys(rig), 'the rig needs it, or the subject must say why it cannot').toContain('breakDown')
          await rig.breakDown?.()
          // A token that cannot be one at all may be told by its looks.
          const wrong = kind === 'bearer' ? [] : [withSecret(held.right, `${secretIn(held.right)}-not`)]
          for (const one of [held.right, ...wrong]) {
            const error: unknown = await rig.directory.check(one, facts).then(
              (verdict) => verdict,
              (thrown: unknown) => thrown,
            )
            expect(error).toMatchObject({ name: 'Failure', kind: 'unavailable' })
            expectNoSecret(error, secretIn(held.right))
          }
        })

        it(
          'has no belief in a stamp that it did not give',
          withRig(async (rig) => {
            const { directory } = rig
            if (directory.current === undefined) return
            const held = await rig.hold(kind, 'alice', secretOf('alice'))
            const { identity, stamp } = accepted(await directory.check(held.right, facts))
            expect(await directory.current(identity, stamp ?? '')).toBe(true)
            for (const other of ['', 'x', '\0', `${stamp}x`, ...odd.map(([, text]) => text)])
              expect([other, await directory.current(identity, other)]).toEqual([other, false])
          }),
        )
      })

    it(
      'has no signing key under an odd name',
      withRig(async ({ directory }) => {
        for (const [what, text] of odd) expect([what, await directory.signingKey?.(text)]).toEqual([what, undefined])
      }),
    )
  })
}

/** One of the kind; the name counts for nothing in a bearer token. */
function credential(kind: Credential['kind'], name: string, secret: string): Credential {
  switch (kind) {
    case 'password':
      return { kind, name, password: secret }
    case 'api-key':
      return { kind, id: name, secret }
    case 'bearer':
      return { kind, token: secret }
  }
}

function secretIn(one: Credential): string {
  return one.kind === 'password' ? one.password : one.kind === 'api-key' ? one.secret : one.token
}

function nameIn(one: Credential): string {
  return one.kind === 'password' ? one.name : one.kind === 'api-key' ? one.id : one.token
}

function withSecret(one: Credential, secret: string): Credential {
  return credential(one.kind, nameIn(one), secret)
}

/** What a careless comparison would take for the secret. */
function nearly(secret: string): readonly string[] {
  const last = secret.slice(-1)
  return [
    '',
    `${secret}x`,
    `${secret} `,
    ` ${secret}`,
    `${secret}\n`,
    `${secret}\0`,
    `${secret}\0tail`,
    secret.slice(0, -1),
    secret.slice(1),
    secret.slice(0, -1) + (last === 'x' ? 'y' : 'x'),
    secret.toUpperCase() === secret ? secret.toLowerCase() : secret.toUpperCase(),
    secret + secret,
    createHash('sha256').update(secret).digest('hex'),
    createHash('sha256').update(secret).digest('base64'),
  ]
}

function accepted(verdict: Verdict): Extract<Verdict, { kind: 'identity' }> {
  if (verdict.kind !== 'identity') throw new Error(`the right credential got ${JSON.stringify(verdict)}`)
  return verdict
}

/** Nor its most likely hashes, wherever in the value it may be. */
function expectNoSecret(value: unknown, secret: string): void {
  const text = `${JSON.stringify(value)} ${inspect(value, { depth: 20, showHidden: true })}`
  const told = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    ...['hex', 'base64'].map((form) =>
      createHash('sha256')
        .update(secret)
        .digest(form as 'hex'),
    ),
    createHash('sha3-256').update(secret).digest('hex'),
  ]
  for (const one of told) expect(text).not.toContain(one)
}
