/** Of a mirror without a source, which a sync cannot mend. */
export const MENDED_BY_ITS_FILLER =
  'this mirror has no source: what fills it has to bring anew what is damaged (mirrorlatch help questions)';
