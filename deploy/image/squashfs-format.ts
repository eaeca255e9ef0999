/** Numbers of the squashfs 4.0 format. Source: Linux, fs/squashfs/squashfs_fs.h. All integers are little-endian. */

export const METADATA_BYTES = 8192;
/** In a metadata block's 16-bit header: the block is stored as it is. */
export const METADATA_PLAIN = 0x8000;
/** In a data block's 32-bit size word: the block is stored as it is. A word of 0 means a block of zeros, not stored. */
export const BLOCK_PLAIN = 1 << 24;
/** In place of the offset of a table, or the number of a fragment, that does not exist. */
export const NO_TABLE = 0xffff_ffff_ffff_ffffn;
export const NO_INDEX = 0xffff_ffff;

export const InodeType = {
  directory: 1,
  file: 2,
  symlink: 3,
  bigDirectory: 8,
  bigFile: 9,
  bigSymlink: 10,
} as const;

/** Entries that one header of a directory listing can cover. */
export const HEADER_ENTRIES_MAX = 256;
/** A directory inode gives the size of its listing plus this: room for "." and "..", which are not stored. */
export const LISTING_EXTRA_BYTES = 3;

export const IMAGE_ALIGNMENT_BYTES = 4096;
