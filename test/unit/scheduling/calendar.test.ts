import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { mayBeCalendarEvent } from '../../../src/scheduling/calendar.ts';
import { whyNotInstalled } from '../../support/installed.ts';

const EVENTS = [
  'daily',
  'MONTHLY',
  'anually',
  'semi-annually',
  'quarterly UTC',
  'daily Europe/Berlin',
  'Mon',
  'thu,',
  'fri-sat',
  'mon UTC',
  'Monday 9:00',
  'Wed, 17:48',
  'mon..fri,sun   2:00',
  'Mon..Wed *-5-27',
  'Mon *-*-* *:00',
  'Thu,Fri 2012-*-1,5 11:12:13',
  'Wed-Sat,Tue 12-10-15 1:2:3',
  '*-*-1..7 18:00:00',
  '*-*~1',
  '*-05~03/1',
  '2003-02..04-05',
  '@1234567890 UTC',
  '0..20/5:00',
  '*:0/15',
  '10:00:00.5',
  '5:00 EST5EDT',
  '5:00 America/Port-au-Prince',
];

const NONE = [
  '',
  ',',
  'daily\n',
  '*',
  '03',
  '3am',
  '15m',
  '2026',
  'dayly',
  'dayly UTC',
  '@daily',
  'daily ,',
  'midnight',
  'UTC',
  'Europe/Berlin',
  'Sonntag 3:00',
  'monda',
  'Mon 5',
  'Mon - Fri',
  'mon, tue 5:00',
  'Mon foo bar',
  '03:17 Mon Tue',
  '0 3 * * *',
  '*/5 * * * *',
];

test.each(EVENTS)('systemd may take %j', (event) => expect(mayBeCalendarEvent(event)).toBe(true));

test.each(NONE)('%j is no calendar event', (text) => expect(mayBeCalendarEvent(text)).toBe(false));

describe.skipIf(whyNotInstalled('systemd-analyze') !== '')('systemd itself', () => {
  test.each(EVENTS)('takes %j', (event) => expect(doesSystemdTake(event)).toBe(true));
  test.each(NONE)('refuses %j', (text) => expect(doesSystemdTake(text)).toBe(false));
});

function doesSystemdTake(event: string): boolean {
  try {
    execFileSync('systemd-analyze', ['calendar', '--', event], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
