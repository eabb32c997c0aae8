import { Failure } from '../../core/failure.js'
import { parseRegex, type ByteSet, type RegexNode } from './regex-syntax.js'

/** A regular expression, asked of texts and of their beginnings. */
export interface ScopeRegex {
  /** It matches somewhere in the text. */
  matches(text: string): boolean
  /** Of the texts that begin so, this one among them: all match, none does, or it depends. */
  fate(beginning: string): 'all' | 'none' | 'open'
  /** How every text that begins so and matches must go on at least; empty where it may go on in several ways. */
  forced(beginning: string): string
}

/**
 * Compiles an expression as `parseRegex` reads it. The time that a match takes grows with the length of the text alone,
 * whatever the expression: no text can hold the server up. Throws `invalid`, also where it would grow too large.
 */
export function compileScopeRegex(pattern: string, ignoreCase: boolean): ScopeRegex {
  const program: Instruction[] = []
  assemble(program, parseRegex(pattern, ignoreCase))
  push(program, { op: 'match' })
  // Each repetition is written out, and what is written out may be gone through at every byte.
  if (program.length > 2 * Buffer.byteLength(pattern) + maxWrittenOut) throw tooMuch()
  return new Automaton(program)
}

const maxInstructions = 2500
const maxWrittenOut = 100
const maxStates = 200
const maxForced = 4096

type Instruction =
  | { readonly op: 'set'; readonly set: ByteSet }
  | { readonly op: 'fork'; one: number; other: number }
  | { readonly op: 'start' | 'end' | 'match' }

function push<Kind extends Instruction>(program: Instruction[], instruction: Kind): Kind {
  if (program.length >= maxInstructions) throw tooMuch()
  program.push(instruction)
  return instruction
}

function tooMuch(): Failure {
  return new Failure('invalid', 'The regular expression is not right: it repeats too much.')
}

/** Thompson's construction: each part goes on with what comes right behind it. */
function assemble(program: Instruction[], node: RegexNode): void {
  switch (node.kind) {
    case 'set':
      push(program, { op: 'set', set: node.set })
      return
    case 'start':
    case 'end':
      push(program, { op: node.kind })
      return
    case 'sequence':
      for (const part of node.parts) assemble(program, part)
      return
    case 'either':
      assembleEither(program, node.parts)
      return
    case 'repeat':
      assembleRepeat(program, node.part, node.least, node.most)
  }
}

function fork(program: Instruction[]): Extract<Instruction, { op: 'fork' }> {
  const at = program.length + 1
  return push(program, { op: 'fork', one: at, other: at })
}

function assembleEither(program: Instruction[], parts: readonly RegexNode[]): void {
  const exits: Extract<Instruction, { op: 'fork' }>[] = []
  parts.forEach((part, at) => {
    const choice = at < parts.length - 1 ? fork(program) : undefined
    assemble(program, part)
    if (choice === undefined) return
    exits.push(fork(program))
    choice.other = program.length
  })
  for (const exit of exits) exit.one = exit.other = program.length
}

function assembleRepeat(program: Instruction[], part: RegexNode, least: number, most: number): void {
  for (let count = 0; count < least; count++) assemble(program, part)
  if (most === Infinity) {
    const loop = program.length
    const choice = fork(program)
    assemble(program, part)
    const back = fork(program)
    back.one = back.other = loop
    choice.other = program.length
    return
  }
  const exits: Extract<Instruction, { op: 'fork' }>[] = []
  for (let count = least; count < most; count++) {
    exits.push(fork(program))
    assemble(program, part)
  }
  for (const exit of exits) exit.other = program.length
}

/** All places of the program at which a text may be that was read so far. */
interface State {
  readonly places: readonly number[]
  /** A match has been found, whatever comes. */
  readonly found: boolean
  readonly matchesAtEnd: boolean
  readonly next: Map<number, State>
}

/** Runs all ways at once, and keeps the sets of places that it has met. */
class Automaton implements ScopeRegex {
  readonly #program: readonly Instruction[]
  readonly #states = new Map<string, State>()
  readonly #mayBeginLate: boolean

  constructor(program: readonly Instruction[]) {
    this.#program = program
    this.#mayBeginLate = this.#reached([0], { atStart: false, atEnd: false }).length > 0
  }

  matches(text: string): boolean {
    const { found, matchesAtEnd } = this.#after(text)
    return found || matchesAtEnd
  }

  fate(beginning: string): 'all' | 'none' | 'open' {
    const { found, places } = this.#after(beginning)
    return found ? 'all' : places.length === 0 ? 'none' : 'open'
  }

  forced(beginning: string): string {
    const bytes: number[] = []
    if (this.#mayBeginLate) return ''
    for (let state = this.#after(beginning); bytes.length < maxForced;) {
      const byte = state.found || state.matchesAtEnd ? undefined : this.#onlyByte(state)
      if (byte === undefined) break
      bytes.push(byte)
      state = this.#step(state, byte)
    }
    return Buffer.from(bytes).toString()
  }

  #after(text: string): State {
    let state = this.#stateOf([0], true)
    for (const byte of Buffer.from(text)) {
      if (state.found || state.places.length === 0) return state
      state = this.#step(state, byte)
    }
    return state
  }

  #step(state: State, byte: number): State {
    const known = state.next.get(byte)
    if (known !== undefined) return known
    const places: number[] = []
    for (const place of state.places) {
      const instruction = this.#program[place]
      if (instruction?.op === 'set' && instruction.set[byte] === 1) places.push(place + 1)
    }
    // A match may begin anywhere.
    places.push(0)
    const next = this.#stateOf(places, false)
    state.next.set(byte, next)
    return next
  }

  #stateOf(entries: readonly number[], atStart: boolean): State {
    const places = this.#reached(entries, { atStart, atEnd: false })
    const key = places.join()
    const known = this.#states.get(key)
    if (known !== undefined) return known
    if (this.#states.size >= maxStates) this.#forget()
    const found = places.some((place) => this.#program[place]?.op === 'match')
    const ending = this.#reached(places, { atStart, atEnd: true })
    const matchesAtEnd = ending.some((place) => this.#program[place]?.op === 'match')
    const state = { places, found, matchesAtEnd, next: new Map<number, State>() }
    // The state of the beginning ends in another way than one with the same places further on.
    if (!atStart) this.#states.set(key, state)
    return state
  }

  #forget(): void {
    for (const state of this.#states.values()) state.next.clear()
    this.#states.clear()
  }

  /** The places that wait for a byte, for the end, or have matched, in order. */
  #reached(entries: readonly number[], now: { readonly atStart: boolean; readonly atEnd: boolean }): readonly number[] {
    const seen = new Set<number>()
    const waiting = [...entries]
    const places: number[] = []
    for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
      if (seen.has(place)) continue
      seen.add(place)
      const instruction = this.#program[place]
      switch (instruction?.op) {
        case 'fork':
          waiting.push(instruction.one, instruction.other)
          break
        case 'start':
          if (now.atStart) waiting.push(place + 1)
          break
        case 'end':
          if (now.atEnd) waiting.push(place + 1)
          else places.push(place)
          break
        case undefined:
          break
        default:
          places.push(place)
      }
    }
    return places.sort((one, other) => one - other)
  }

  #onlyByte(state: State): number | undefined {
    let only: number | undefined
    for (const place of state.places) {
      const instruction = this.#program[place]
      if (instruction?.op !== 'set') return undefined
      for (let byte = 0; byte < 256; byte++) {
        if (instruction.set[byte] !== 1 || byte === only) continue
        if (only !== undefined) return undefined
        only = byte
      }
    }
    return only
  }
}
