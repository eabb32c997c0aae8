/** A capability (capabilities(7)) by its number, as the kernel's masks count. */
const numbers = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
} as const

/** What a broker cannot do without. */
export type Capability = keyof typeof numbers

const sets = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'] as const

/**
 * What a process could still do, or gain by running another program, that its user cannot: empty for nothing. `status` is the
 * content of a `/proc/PID/status` (proc_pid_status(5)); a line that is missing there counts as something.
 */
export function powersLeft(status: string): readonly string[] {
  const left = [...sets.map((name) => [name, /^0+$/] as const), ['NoNewPrivs', /^1$/] as const]
  return left.flatMap(([name, wanted]) => {
    const value = valueOf(status, name)
    return value !== undefined && wanted.test(value) ? [] : [`${name} is ${value ?? 'not known'}`]
  })
}

/** Those of a broker that the process with this `/proc/PID/status` does not have, in alphabetical order. */
export function missingPowers(status: string): readonly Capability[] {
  const mask = valueOf(status, 'CapEff')
  const has = mask !== undefined && /^[0-9a-f]+$/.test(mask) ? BigInt(`0x${mask}`) : 0n
  return namesOf(numbers).filter((name) => ((has >> BigInt(numbers[name])) & 1n) === 0n)
}

function namesOf<T extends object>(record: T): readonly (keyof T)[] {
  return Object.keys(record) as (keyof T)[]
}

function valueOf(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(\\S+)$`, 'm').exec(status)?.[1]
}
