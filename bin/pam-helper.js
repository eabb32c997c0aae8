// What Postern starts to ask PAM in a process of its own; nothing for people.
import { servePam } from '../dist/program/pam-helper.js'

servePam()
