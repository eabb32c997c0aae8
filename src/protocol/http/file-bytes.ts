import type { HttpResponse } from '../../core/http.js'
import type { ByteRange, Content } from '../../store/store.js'

/**
 * All bytes of a content, or a part, as the body of an answer: a descriptor goes straight to the transport, bytes go as
 * they are; a stream closes its content at the end.
 */
export function contentBody(content: Content, range?: ByteRange): NonNullable<HttpResponse['body']> {
  const bytes = range === undefined ? content.bytes() : content.bytes(range)
  if (bytes instanceof Uint8Array) return bytes
  return 'fd' in bytes ? bytes : closing(bytes, content)
}

function closing(bytes: AsyncIterable<Uint8Array>, content: Content): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = bytes[Symbol.asyncIterator]()
      return {
        next: async () => {
          try {
            const next = await iterator.next()
            if (next.done === true) await content.close()
            return next
          } catch (error) {
            await content.close()
            throw error
          }
        },
        return: async () => {
          await iterator.return?.()
          await content.close()
          return { value: undefined, done: true }
        },
      }
    },
  }
}
