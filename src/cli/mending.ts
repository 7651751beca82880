/** Of a mirror without a source, which a sync cannot mend. */
export const MENDED_BY_ITS_FILLER =
  'No sync fills this mirror: what fills it has to bring anew what is damaged (mirrorlatch help questions)';
