import type { PlanFigures } from '../mirror/plan/plan.ts';

export type Phase =
  | 'waiting'
  | 'probing'
  | 'planning'
  | 'cloning'
  | 'closing'
  | 'transferring'
  | 'settling'
  | 'comparing'
  | 'checking'
  | 'publishing'
  | 'pruning'
  | 'verifying'
  | 'reading';

/** What a writer reports while it works. */
export type OperationEvent =
  | { kind: 'phase'; phase: Phase }
  | { kind: 'planned'; plan: PlanFigures }
  | { kind: 'progress'; bytes: number; totalBytes: number; files: number; totalFiles: number }
  /** Something that went well and is worth a word. */
  | { kind: 'notice'; message: string }
  /** Something that failed without stopping the work. */
  | { kind: 'warning'; message: string }
  /** Something that a person has to mend, although the work went on: `--quiet` does not hide it. */
  | { kind: 'problem'; message: string };

export type OnEvent = (event: OperationEvent) => void;
