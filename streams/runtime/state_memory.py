"""How RocksDB is set up for state tables, with one bound on memory for all of a process's databases."""

import rocksdict

MIB = 1024 * 1024

CACHE_BYTES = 64 * MIB
WRITE_BUFFERS_BYTES = 48 * MIB
WRITE_BUFFER_BYTES = 8 * MIB
# The cache has 64 shards of a megabyte: the filter of a larger file would fit none of them and be read again and again
# (70 microseconds a read, measured).
FILE_BYTES = 16 * MIB
BLOOM_BITS = 10
# A bloom filter before each write buffer: a key that is new is not looked for in it (1.2 instead of 2.7 microseconds).
BUFFER_BLOOM_RATIO = 0.05


class StateMemory:
    """The memory that the tables of a process share. There is a database for each table and partition.

    Args:
        cache_bytes: of blocks, indexes and filters, over all databases.
        write_buffers_bytes: over all databases; above it, the fullest is written to disk.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES, write_buffers_bytes: int = WRITE_BUFFERS_BYTES) -> None:
        self._cache = rocksdict.Cache(cache_bytes)
        # Not charged to the cache: that was measured to leave no room for the filters.
        self._write_buffers = rocksdict.WriteBufferManager(write_buffers_bytes, allow_stall=False)

    def options(self) -> rocksdict.Options:
        """Return the options of one database."""
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_bloom_filter(BLOOM_BITS, block_based=False)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._write_buffers)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(2)
        options.set_memtable_whole_key_filtering(True)
        options.set_memtable_prefix_bloom_ratio(BUFFER_BLOOM_RATIO)
        options.set_target_file_size_base(FILE_BYTES)
        options.set_max_open_files(256)
        options.set_keep_log_file_num(2)
        return options
