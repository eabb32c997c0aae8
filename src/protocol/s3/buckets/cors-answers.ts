import type { Clock } from '../../../core/clock.js'
import { Failure, isFailure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../../core/http.js'
import { isOwnPath, rebase, rootPath } from '../../../core/path.js'
import type { ParsedTarget, StorePath } from '../../../core/path.js'
import type { Store } from '../../../store/store.js'
import type { S3Target } from '../address.js'
import { corsRuleFor, keptCorsRules } from './cors-rules.js'
import type { CorsRule } from './cors-rules.js'

/** What the rules of buckets make of requests from pages of other origins. */
export interface BucketCors {
  /** Answers an OPTIONS request, which no browser signs, beside `headers`. Throws `invalid`, `denied`. */
  preflight(request: HttpRequest, target: ParsedTarget): Promise<HttpResponse>
  /**
   * What any answer about this target tells a browser, a refusal too; none for a bucket without rules. `home` is the
   * caller's, in which its buckets are. Never throws a Failure.
   */
  headers(request: HttpRequest, target: ParsedTarget, home?: StorePath): Promise<readonly Header[]>
}

/** How long rules are taken to be as they were, in milliseconds. */
const freshFor = 1000
/** Buckets whose rules, or that they have none, are remembered. */
const mostRemembered = 1000

/** `store` is whole: whether a page may ask is not a matter of who is asking. */
export function createBucketCors(options: { readonly store: Pick<Store, 'stat'>; readonly clock: Clock }): BucketCors {
  const { store, clock } = options
  const remembered = new Map<StorePath, { readonly rules: readonly CorsRule[]; readonly until: number }>()

  async function rulesOf(bucketPath: StorePath): Promise<readonly CorsRule[]> {
    const now = clock.now()
    const known = remembered.get(bucketPath)
    if (known !== undefined && known.until > now) return known.rules
    const entry = isOwnPath(bucketPath) ? undefined : await store.stat(bucketPath)
    const rules = keptCorsRules(entry?.attributes)
    remembered.delete(bucketPath)
    for (const oldest of remembered.keys()) {
      if (remembered.size < mostRemembered) break
      remembered.delete(oldest)
    }
    remembered.set(bucketPath, { rules, until: now + freshFor })
    return rules
  }

  return {
    async preflight(request, target) {
      const asked = askedBy(request)
      if (asked === undefined)
        throw new Failure('invalid', 'A preflight needs Origin and Access-Control-Request-Method.', {
          reason: 'InvalidRequest',
        })
      const rule = isBucketTarget(target) ? corsRuleFor(await rulesOf(target.bucketPath), asked) : undefined
      // The same for a bucket that is missing: nobody knows who is asking.
      if (rule === undefined)
        throw new Failure('denied', 'No rule of this bucket allows this to pages of that origin.', {
          reason: 'AccessDenied',
        })
      return {
        status: 200,
        headers: [
          ['Access-Control-Allow-Methods', rule.methods.join(', ')],
          ...(asked.headers.length === 0 ? [] : [['Access-Control-Allow-Headers', asked.headers.join(', ')] as const]),
          ...(rule.maxAgeSeconds === undefined
            ? []
            : [['Access-Control-Max-Age', String(rule.maxAgeSeconds)] as const]),
          ['Content-Length', '0'],
        ],
      }
    },

    async headers(request, target, home = rootPath) {
      if (!isBucketTarget(target)) return []
      try {
        const rules = await rulesOf(rebase(target.bucketPath, rootPath, home))
        if (rules.length === 0) return []
        const asked = askedBy(request)
        const rule = asked && corsRuleFor(rules, asked)
        return [...(rule === undefined ? [] : allowing(rule, asked?.origin ?? '')), ['Vary', varies]]
      } catch (error) {
        if (!isFailure(error)) throw error
        return []
      }
    },
  }
}

const varies = 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method'

function allowing({ origins, exposed }: CorsRule, origin: string): readonly Header[] {
  return [
    ...(origins.includes('*')
      ? [['Access-Control-Allow-Origin', '*'] as const]
      : [['Access-Control-Allow-Origin', origin] as const, ['Access-Control-Allow-Credentials', 'true'] as const]),
    ...(exposed.length === 0 ? [] : [['Access-Control-Expose-Headers', exposed.join(', ')] as const]),
  ]
}

/** What a page wants: of a preflight, what it announces. Undefined where no page is asking. */
function askedBy(
  request: HttpRequest,
): { readonly origin: string; readonly method: string; readonly headers: readonly string[] } | undefined {
  const origin = header(request, 'origin')
  if (origin === undefined) return undefined
  if (request.method !== 'OPTIONS') return { origin, method: request.method, headers: [] }
  const method = header(request, 'access-control-request-method')
  if (method === undefined) return undefined
  const names = (header(request, 'access-control-request-headers') ?? '').split(',').map((name) => name.trim())
  return { origin, method, headers: names.filter((name) => name !== '').map((name) => name.toLowerCase()) }
}

function isBucketTarget(target: ParsedTarget): target is S3Target {
  return 'bucket' in target && target.bucket !== undefined
}
