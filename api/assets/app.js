// What only the browser knows: how long ago an instant is now, in the reader's language, and the reader's time zone. Without
// this script a page shows the instant itself, and the zone that it proposes to everybody.

const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
const format = new Intl.RelativeTimeFormat(navigator.languages, { numeric: 'auto' });

function howLongAgo(instant) {
  const seconds = Math.round((Date.parse(instant) - Date.now()) / 1000);
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return format.format(Math.round(seconds / length), unit);
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function sayHowLongAgo() {
  for (const time of document.querySelectorAll('time[data-relative]')) {
    time.title ||= time.textContent;
    say(time, howLongAgo(time.dateTime));
  }
  for (const note of document.querySelectorAll('[data-ago]')) say(note, ` (${howLongAgo(note.dataset.ago)})`);
}

function proposeTimeZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  for (const field of document.querySelectorAll('input[data-browser-time-zone]')) field.value = timeZone ?? field.value;
}

document.addEventListener('DOMContentLoaded', sayHowLongAgo);
document.addEventListener('DOMContentLoaded', proposeTimeZone);
document.addEventListener('htmx:after:swap', sayHowLongAgo);
setInterval(sayHowLongAgo, 1000);
