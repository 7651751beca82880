import type { PlanFigures } from '../mirror/plan.ts';

export type Phase =
  | 'waiting'
  | 'planning'
  | 'cloning'
  | 'closing'
  | 'transferring'
  | 'comparing'
  | 'publishing'
  | 'pruning';

/** What an operation tells while it works, for whoever shows it. */
export type OperationEvent =
  | { kind: 'phase'; phase: Phase }
  | { kind: 'planned'; plan: PlanFigures }
  | { kind: 'progress'; bytes: number; totalBytes: number; files: number; totalFiles: number }
  /** Something that went well, worth a word. */
  | { kind: 'notice'; message: string }
  /** Something that did not, and that the operation got over. */
  | { kind: 'warning'; message: string };

export type OnEvent = (event: OperationEvent) => void;
