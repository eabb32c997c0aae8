/** A message as it goes out. */
export interface Mail {
  /** One mailbox, as `isMailbox` allows. */
  readonly to: string
  readonly subject: string
  readonly text: string
  readonly html: string
}

/** A way to hand messages to the world. */
export interface MailTransport {
  /**
   * Resolves when the other side has taken the message for good. Throws `unavailable` where it may take it later, and
   * `invalid` where it never will: such a mailbox, sender or message is refused.
   */
  send(mail: Mail): Promise<void>
  close(): void
}

/** `NAME@HOST` as people write it, without a display name, comment or quotes; at most 254 characters (RFC 5321 §4.5.3.1.3). */
export function isMailbox(text: string): boolean {
  return text.length <= 254 && /^[^\s@<>()[\]\\,;:"\p{C}]{1,64}@[^\s@<>()[\]\\,;:"\p{C}]+$/u.test(text)
}

/** The mailbox of a sender, which may stand alone or as `Files <files@example.org>`. */
export function mailboxOf(sender: string): string {
  return /^[^<>\p{C}]*<([^<>]+)>$/u.exec(sender)?.[1] ?? sender
}
