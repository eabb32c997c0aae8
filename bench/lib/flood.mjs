// Wrong logins at a fixed pace, whatever the server answers.
import { Agent, request } from 'node:http'
import { performance } from 'node:perf_hooks'
import { clearInterval, setInterval } from 'node:timers'

/**
 * Begins to send; `end` stops it and says what came back. With `spread` each has a name and an address of its own, as
 * X-Forwarded-For tells it, so that no throttle of either knows it.
 * @param {{ port: number }} server @param {{ perSecond: number, spread: boolean }} how
 */
export function wrongLogins({ port }, { perSecond, spread }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 512 })
  const statuses = {}
  const began = performance.now()
  let sent = 0
  const send = () => {
    const number = sent++
    const salt = Math.floor(Math.random() * 2 ** 32)
    const [name, address] = spread
      ? [`guess-${salt}-${number}`, `10.${(salt >>> 16) & 255}.${(salt >>> 8) & 255}.${salt & 255}`]
      : ['admin', '192.0.2.7']
    const headers = {
      Authorization: `Basic ${Buffer.from(`${name}:wrong ${salt} ${number}`).toString('base64')}`,
      'X-Forwarded-For': address,
    }
    const one = request({ host: '127.0.0.1', port, path: '/data/1k.bin', agent, headers }, (answer) => {
      statuses[answer.statusCode] = (statuses[answer.statusCode] ?? 0) + 1
      answer.resume()
    })
    one.on('error', () => (statuses.none = (statuses.none ?? 0) + 1))
    one.end()
  }
  const timer = setInterval(() => {
    while (sent < ((performance.now() - began) / 1000) * perSecond) send()
  }, 5)
  let reached = 0
  return {
    end() {
      clearInterval(timer)
      reached = sent / ((performance.now() - began) / 1000)
      agent.destroy()
    },
    said: () => ({ perSecond: reached, statuses }),
  }
}
