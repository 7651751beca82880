import {
  type CheckPolicy,
  DEFAULT_CHECK,
  DEFAULT_DRAIN,
  DEFAULT_PROBE,
  DEFAULT_RETENTION,
  DEFAULT_RETRY,
  DEFAULT_SHRINK,
  type DrainPolicy,
  type Given,
  type HookPolicy,
  type ProbePolicy,
  type RetentionPolicy,
  type RetryPolicy,
  rulesIn,
  type ShrinkPolicy,
  withDefaults,
} from '../mirror/settings/policy.ts';
import type { Settings } from '../mirror/settings/records.ts';

/** What a call says of the groups; the mirror's settings and the defaults say the rest. */
export interface PolicyOptions {
  retention?: Given<RetentionPolicy> | undefined;
  retry?: Given<RetryPolicy> | undefined;
  drain?: Given<DrainPolicy> | undefined;
  shrink?: Given<ShrinkPolicy> | undefined;
  probe?: Given<ProbePolicy> | undefined;
  /** In place of those of the configuration. */
  hooks?: Given<HookPolicy> | undefined;
  check?: Given<CheckPolicy> | undefined;
}

/** By which rules a writer works. */
export interface Policy {
  readonly retention: RetentionPolicy;
  readonly retry: RetryPolicy;
  readonly drain: DrainPolicy;
  readonly shrink: ShrinkPolicy;
  readonly probe: ProbePolicy;
  readonly check: CheckPolicy;
}

/** Every option of a group, so that the compiler names one that is forgotten. */
type AllOf<Group> = { [Name in keyof Group]: Group[Name] | undefined };

/** A call's options before the mirror's settings before the defaults. */
export function policyOf(settings: Settings, given: PolicyOptions): Policy {
  const { maxShrinkPercent, maxShrinkPercentIn } = settings;
  const retention = withDefaults(DEFAULT_RETENTION, rulesIn(settings));
  const shrink = withDefaults(DEFAULT_SHRINK, {
    maxPercent: maxShrinkPercent,
    maxPercentIn: maxShrinkPercentIn,
  });
  const probe = withDefaults(DEFAULT_PROBE, {
    paths: settings.probe,
    maxAgeMs: settings.probeMaxAgeMs,
    busyWhen: settings.busyWhen,
    fileList: settings.fileList,
  } satisfies AllOf<ProbePolicy>);
  const check = withDefaults(DEFAULT_CHECK, {
    kinds: settings.check,
    command: settings.checkCommand,
    timeoutMs: settings.checkTimeoutMs,
    except: settings.checkExcept,
    keyring: settings.checkKeyring,
    content: settings.checkContent,
    // A person's word, which is not kept.
    publishesAnyway: undefined,
  } satisfies AllOf<CheckPolicy>);
  return {
    check: withDefaults(check, given.check),
    retention: withDefaults(retention, given.retention),
    retry: withDefaults(DEFAULT_RETRY, given.retry),
    drain: withDefaults(DEFAULT_DRAIN, given.drain),
    probe: withDefaults(probe, given.probe),
    shrink: {
      ...withDefaults(shrink, given.shrink),
      maxPercentIn: { ...shrink.maxPercentIn, ...given.shrink?.maxPercentIn },
    },
  };
}
