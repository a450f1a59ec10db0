// What only the browser knows: how long ago an instant is now, in the reader's language, and the reader's time zone. Without
// this script a page shows the instant itself, and the zone that it proposes to everybody.

const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
const format = new Intl.RelativeTimeFormat(navigator.languages, { numeric: 'auto' });

function sayHowLongAgo() {
  for (const time of document.querySelectorAll('time[data-relative]')) {
    const seconds = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
    const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
    time.title ||= time.textContent;
    const text = format.format(Math.round(seconds / length), unit);
    if (time.textContent !== text) time.textContent = text;
  }
}

function proposeTimeZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  for (const field of document.querySelectorAll('input[data-browser-time-zone]')) field.value = timeZone ?? field.value;
}

document.addEventListener('DOMContentLoaded', sayHowLongAgo);
document.addEventListener('DOMContentLoaded', proposeTimeZone);
document.addEventListener('htmx:after:swap', sayHowLongAgo);
setInterval(sayHowLongAgo, 1000);
