import { errorOf, type Ends, type Message, PostgresProxy, type Relay, textsOf } from './postgres-proxy.js'

/** What Aurora DSQL says instead of doing it. */
interface Refusal {
  readonly code: string
  readonly message: string
}

export interface DsqlRulesOptions {
  /** How many of the commits end as if somebody else had changed the same, 0 to 1. */
  readonly conflicts?: number
}

const mostRows = 3000

/**
 * A PostgreSQL that refuses what Aurora DSQL refuses, for whoever speaks to it through this proxy: it reads every Parse
 * and Query message. Commits fail at random, as optimistic ones do, and the isolation is that of DSQL. What DSQL alone
 * understands (CREATE INDEX ASYNC) is translated. Where it is not known what DSQL would do, it is refused.
 */
export class DsqlRules {
  readonly #proxy: PostgresProxy
  readonly #seen: Seen

  private constructor(proxy: PostgresProxy, seen: Seen) {
    this.#proxy = proxy
    this.#seen = seen
  }

  static async start(port: number, { conflicts = 0 }: DsqlRulesOptions = {}): Promise<DsqlRules> {
    const seen: Seen = { refused: [], conflicts: 0 }
    const relayOf = (ends: Ends): Relay => new DsqlRelay(ends, seen, conflicts)
    return new DsqlRules(
      await PostgresProxy.start(port, relayOf, { default_transaction_isolation: 'repeatable read' }),
      seen,
    )
  }

  get port(): number {
    return this.#proxy.port
  }

  /** What was refused so far. */
  get refused(): readonly string[] {
    return this.#seen.refused
  }

  /** How many commits were made to fail. */
  get conflicts(): number {
    return this.#seen.conflicts
  }

  close(): Promise<void> {
    return this.#proxy.close()
  }
}

interface Seen {
  readonly refused: string[]
  conflicts: number
}

class DsqlRelay implements Relay {
  readonly #ends: Ends
  readonly #seen: Seen
  readonly #rate: number
  readonly #statements = new Map<string, string>()
  readonly #portals = new Map<string, string>()
  /** As the server has last said: idle, in a transaction, in one that has failed. */
  #status = 'I'
  #transaction = fresh()
  /** What the client shall be told in place of the next message of a type. */
  #instead: { readonly type: string; readonly refusal: Refusal } | undefined
  /** Whether the server has answered to what was executed last, and who waits for that or for the end. */
  #isAnswered = false
  #answered: (() => void) | undefined
  #hasWritten = false
  /** The server then passes over all that comes before the next end. */
  #hasFailed = false
  #turn = Promise.resolve()

  constructor(ends: Ends, seen: Seen, rate: number) {
    this.#ends = ends
    this.#seen = seen
    this.#rate = rate
  }

  readonly fromClient = (message: Message): void => {
    this.#turn = this.#turn.then(() => this.#handle(message))
  }

  readonly fromServer = (message: Message): void => {
    const { type, body } = message
    if (type === 'C') this.#transaction.rows += Number(/^(?:INSERT 0|UPDATE|DELETE|MERGE) (\d+)/.exec(body.toString())?.[1] ?? 0) // prettier-ignore
    if (type === 'Z') {
      this.#status = body.toString()
      if (this.#status === 'I') this.#transaction = fresh()
    }
    const { refusal } = this.#instead?.type === type ? this.#instead : {}
    if (refusal !== undefined) this.#instead = undefined
    this.#ends.toClient(refusal === undefined ? message : errorOf(refusal.code, refusal.message))
    if (type === 'E') this.#hasFailed = true
    if (type !== 'C' && type !== 'E' && type !== 'Z') return
    this.#isAnswered = true
    this.#answered?.()
  }

  async #handle(message: Message): Promise<void> {
    switch (message.type) {
      case 'P':
        this.#parse(message)
        break
      case 'B': {
        const [portal = '', name = ''] = textsOf(message, 2)
        this.#portals.set(portal, this.#statements.get(name) ?? '')
        this.#ends.toServer(message)
        break
      }
      case 'E':
        this.#execute(message)
        break
      case 'S':
        await this.#sync(message)
        break
      case 'Q':
        await this.#query(message)
        break
      case 'F':
        this.#fail(refused('the fastpath interface is not supported'))
        break
      default:
        this.#ends.toServer(message)
    }
  }

  #parse(message: Message): void {
    const [name = '', text = ''] = textsOf(message, 2)
    const refusal = refusalOf(text)
    if (refusal !== undefined) {
      this.#fail(refusal)
      return
    }
    this.#statements.set(name, text)
    const tail = message.body.subarray(Buffer.byteLength(name) + Buffer.byteLength(text) + 2)
    this.#ends.toServer({ type: 'P', body: Buffer.concat([Buffer.from(`${name}\0${translated(text)}\0`), tail]) })
  }

  #execute(message: Message): void {
    const text = this.#portals.get(textsOf(message, 1)[0] ?? '') ?? ''
    const refusal = this.#noted(text)
    if (refusal !== undefined) {
      this.#fail(refusal)
      return
    }
    this.#hasWritten ||= isWrite(text)
    this.#isAnswered = this.#hasFailed
    this.#ends.toServer(message)
  }

  /** The end of a transaction, where it consists of what has come since the last one. */
  async #sync(message: Message): Promise<void> {
    if (this.#hasWritten && this.#status === 'I') {
      this.#ends.toServer({ type: 'H', body: Buffer.alloc(0) })
      await this.#until(() => this.#isAnswered)
      const refusal = this.#hasFailed ? undefined : this.#refusalOfCommit()
      if (refusal !== undefined) this.#fail(refusal)
    }
    this.#hasWritten = false
    this.#ends.toServer(message)
    await this.#ready()
  }

  async #query(message: Message): Promise<void> {
    const [text = ''] = textsOf(message, 1)
    const words = wordsOf(text)
    const isDml = /^(?:INSERT|UPDATE|DELETE|MERGE|WITH)\b/.test(words)
    const refusal =
      refusalOf(text) ??
      (/;\s*\S/.test(words) ? refused('this checker wants one statement at a time') : undefined) ??
      (isDml && this.#status === 'I' ? refused('this checker wants writes by the extended protocol') : undefined) ??
      this.#noted(text)
    const isCommit = /^(?:COMMIT|END)\b/.test(words)
    const failure = isCommit || (isDdl(words) && this.#status === 'I') ? this.#refusalOfCommit() : undefined
    if (refusal !== undefined) this.#replace('E', refusal, 'Q', 'refused')
    else if (failure === undefined) this.#ends.toServer({ type: 'Q', body: Buffer.from(`${translated(text)}\0`) })
    else if (isCommit) this.#replace('C', failure, 'Q', 'ROLLBACK')
    else this.#replace('E', failure, 'Q', 'refused')
    await this.#ready()
  }

  async #ready(): Promise<void> {
    this.#status = '?'
    await this.#until(() => this.#status !== '?')
    this.#hasFailed = false
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => (this.#answered = resolve))
    this.#answered = undefined
  }

  /** Counts what a statement is for its transaction, and says what is against it there. */
  #noted(text: string): Refusal | undefined {
    const words = wordsOf(text)
    const transaction = this.#transaction
    if (isDdl(words)) transaction.ddl++
    else if (/^(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE)\b/.test(words)) transaction.dml++
    else return undefined
    if (transaction.ddl > 0 && transaction.dml > 0)
      return refused('ddl and dml are not supported in the same transaction')
    return transaction.ddl > 1 ? refused('multiple ddl statements not supported in a transaction') : undefined
  }

  #refusalOfCommit(): Refusal | undefined {
    const { rows, ddl } = this.#transaction
    if (rows > mostRows) return { code: '54000', message: 'transaction row limit exceeded' }
    if ((rows === 0 && ddl === 0) || Math.random() >= this.#rate) return undefined
    const schema = ddl > 0 || Math.random() < 0.2
    this.#seen.conflicts++
    return {
      code: Math.random() < 0.5 ? '40001' : schema ? 'OC001' : 'OC000',
      message: schema
        ? 'schema has been updated by another transaction, please retry: (OC001)'
        : 'change conflicts with another transaction, please retry: (OC000)',
    }
  }

  /** Makes what is under way fail, and says why. */
  #fail(refusal: Refusal): void {
    this.#replace('E', refusal, 'P', '\0refused\0\0')
  }

  #replace(type: string, refusal: Refusal, sent: string, text: string): void {
    if (refusal.code === notSupported) this.#seen.refused.push(refusal.message)
    this.#instead = { type, refusal }
    this.#hasFailed = true
    this.#ends.toServer({ type: sent, body: Buffer.from(sent === 'Q' ? `${text}\0` : text) })
  }
}

function fresh(): { ddl: number; dml: number; rows: number } {
  return { ddl: 0, dml: 0, rows: 0 }
}

const notSupported = '0A000'

function refused(message: string): Refusal {
  return { code: notSupported, message }
}

/** What is refused wherever it stands, by what it looks like without comments and literals, in capitals. */
const rules: readonly (readonly [RegExp, string])[] = [
  [/^SAVEPOINT|^RELEASE|^ROLLBACK .*\bTO\b/, 'SAVEPOINT not supported'],
  [/^TRUNCATE/, 'TRUNCATE not supported'],
  [/^(?:VACUUM|CLUSTER|REINDEX|LISTEN|NOTIFY|UNLISTEN|LOCK|DO|COPY|DECLARE|PREPARE)\b/, 'unsupported statement'],
  [/^CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER/, 'CREATE TRIGGER not supported'],
  [/^CREATE (?:GLOBAL |LOCAL )?TEMP/, 'temporary tables not supported'],
  [/^CREATE UNLOGGED/, 'unlogged tables not supported'],
  [/^CREATE (?:EXTENSION|MATERIALIZED|DATABASE|TYPE|TABLESPACE|RULE|POLICY)/, 'unsupported statement'],
  [/\bLANGUAGE (?!SQL\b)/, 'only functions in SQL are supported'],
  [/^CREATE SEQUENCE|\b(?:SMALL|BIG)?SERIAL[248]?\b|\bAS IDENTITY\b/, 'sequences are not supported'],
  [/\bPARTITION (?:BY|OF)\b/, 'partitions not supported'],
  [/\bEXCLUDE\b/, 'exclusion constraints not supported'],
  [/\bREFERENCES\b|\bFOREIGN KEY\b/, 'FOREIGN KEY constraint not supported'],
  [/\bCOLLATE\b/, 'COLLATE clause not supported'],
  [/^CREATE TABLE .*\w\[\]/, 'datatype array not supported'],
  [/^CREATE (?:UNIQUE )?INDEX .*\bCONCURRENTLY\b/, 'CONCURRENTLY not supported for CREATE INDEX'],
  [/^CREATE (?:UNIQUE )?INDEX .*\bUSING\b/, 'USING not supported for CREATE INDEX'],
  [/^CREATE (?:UNIQUE )?INDEX .*\bWHERE\b/, 'WHERE not supported for CREATE INDEX'],
  [/^CREATE (?:UNIQUE )?INDEX (?!ASYNC\b)/, 'unsupported mode. please use CREATE INDEX ASYNC.'],
  [/^ALTER SYSTEM/, 'ALTER SYSTEM not supported'],
  [
    /^ALTER TABLE .*\bADD (?:COLUMN )?.*\b(?:DEFAULT|NOT NULL|UNIQUE|PRIMARY|CHECK|GENERATED|CONSTRAINT)\b/,
    'unsupported ALTER TABLE ADD COLUMN with a constraint',
  ],
  [/^ALTER TABLE .*\bDROP (?:COLUMN|CONSTRAINT)\b|^ALTER TABLE .*\bALTER\b/, 'unsupported ALTER TABLE'],
  [/\bISOLATION LEVEL (?!REPEATABLE READ)/, 'only the isolation level REPEATABLE READ is supported'],
  [/^(?:RE)?SET (?!TRANSACTION)|\bSET_CONFIG\b/, 'setting configuration parameter not supported'],
  [/\bPG_(?:TRY_)?ADVISORY/, 'advisory locks not supported'],
  [/\bFOR (?:SHARE|KEY SHARE|NO KEY UPDATE)\b|\bSKIP LOCKED\b|\bNOWAIT\b/, 'locking clause not supported'],
]

function refusalOf(text: string): Refusal | undefined {
  const words = wordsOf(text)
  const rule = rules.find(([pattern]) => pattern.test(words))
  if (rule !== undefined) return refused(rule[1])
  return hasBytesInKey(words) ? refused('bytea is not supported as a key') : undefined
}

/** The documentation of DSQL says of few types that they cannot be indexed; this is one that tempts. */
function hasBytesInKey(words: string): boolean {
  const keys = /\bPRIMARY KEY \(([^)]*)\)/.exec(words)?.[1]?.split(/\s*,\s*/) ?? []
  return (
    /\w+ BYTEA (?:NOT NULL )?PRIMARY\b/.test(words) || keys.some((key) => new RegExp(`\\b${key} BYTEA\\b`).test(words))
  )
}

/** Without comments, and with nothing left of literals and quoted names. */
function wordsOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\/|--[^\n]*|'(?:[^']|'')*'|"(?:[^"]|"")*"/g, (found) => (/^['"]/.test(found) ? 'X' : ' '))
    .replace(/\s+/g, ' ')
    .trim()
    .toUpperCase()
}

function isDdl(words: string): boolean {
  return /^(?:CREATE|ALTER|DROP|GRANT|REVOKE|COMMENT)\b/.test(words)
}

function isWrite(text: string): boolean {
  return /^(?:INSERT|UPDATE|DELETE|MERGE|WITH)\b/.test(wordsOf(text))
}

function translated(text: string): string {
  return text.replace(/^(\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+)ASYNC\s+/i, '$1')
}
