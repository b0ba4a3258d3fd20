#!/bin/sh
# Makes speech.flac beside this script: a synthetic voice (espeak-ng) that says five German sentences in
# different moods, with pauses between them. Needs: espeak-ng sox.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
trap 'exit 130' HUP INT TERM # the shell does not call that an exit
say() { # FILE VOICE PITCH WORDS-PER-MINUTE AMPLITUDE TEXT
    espeak-ng -v "$2" -p "$3" -s "$4" -a "$5" -w "$work/$1.wav" "$6"
    sox -v 0.8 "$work/$1.wav" -r 16000 -b 16 "$work/$1-16k.wav" pad 0.2 1.3
}
say 1 de 45 150 90 "Heute abend könnte ich es ihm sagen."
say 2 de+f3 80 210 180 "Das will sie am Mittwoch abgeben, und zwar sofort!"
say 3 de 15 105 50 "Der Lappen liegt auf dem Eisschrank."
say 4 de+f2 99 190 150 "Ich will das eben wegbringen und dann mit Karl was trinken gehen."
say 5 de+m3 50 160 100 "In sieben Stunden wird es soweit sein."
sox -D "$work"/[1-5]-16k.wav "$here/speech.flac"
