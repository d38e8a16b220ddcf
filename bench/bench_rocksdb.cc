/* bench_rocksdb.cc: RocksDB through its own C++ interface.
 *
 * Settings: bloom filters of 10 bits, a block cache as large as Varve's memory bound, no compression; the rest is the
 * default (64 MiB write buffer, two background jobs). A get pins the value in the block cache and copies nothing. */
#include "bench.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <memory>

namespace {

struct Rocks {
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<rocksdb::Iterator> reused;
  rocksdb::WriteOptions write;
  rocksdb::ReadOptions read;
  rocksdb::WriteBatch batch;
  rocksdb::PinnableSlice value;
};

void Check(const rocksdb::Status &status) {
  if (!status.ok()) bench_die("%s", status.ToString().c_str());
}

Rocks *From(void *db) {
  return static_cast<Rocks *>(db);
}

void Touch(bench_sink *sink, const rocksdb::Iterator *iter) {
  bench_touch(sink, iter->key().data(), iter->key().size());
  bench_touch(sink, iter->value().data(), iter->value().size());
}

void *Open(const bench_config *config) {
  auto *rocks = new Rocks;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(BENCH_CACHE_BYTES);
  rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = config->compress ? rocksdb::kSnappyCompression : rocksdb::kNoCompression;
  rocks->write.sync = config->strict;
  rocksdb::DB *db = nullptr;
  Check(rocksdb::DB::Open(options, config->dir, &db));
  rocks->db.reset(db);
  return rocks;
}

void Close(void *db) {
  Rocks *rocks = From(db);
  rocks->value.Reset();
  rocks->reused.reset();
  rocks->db.reset();
  delete rocks;
}

void Put(void *db, const char *key, const char *value, size_t value_size) {
  Rocks *rocks = From(db);
  Check(rocks->db->Put(rocks->write, rocksdb::Slice(key, BENCH_KEY_SIZE), rocksdb::Slice(value, value_size)));
}

void Batch(void *db, const bench_entry *entries, size_t count, bool) {
  Rocks *rocks = From(db);
  rocks->batch.Clear();
  for (size_t i = 0; i < count; i++) {
    Check(rocks->batch.Put(rocksdb::Slice(entries[i].key, BENCH_KEY_SIZE),
                           rocksdb::Slice(entries[i].value, entries[i].value_size)));
  }
  Check(rocks->db->Write(rocks->write, &rocks->batch));
}

void Del(void *db, const char *key) {
  Check(From(db)->db->Delete(From(db)->write, rocksdb::Slice(key, BENCH_KEY_SIZE)));
}

bool Get(void *db, const char *key, size_t key_size, bench_sink *sink) {
  Rocks *rocks = From(db);
  rocks->value.Reset();
  rocksdb::Status status =
      rocks->db->Get(rocks->read, rocks->db->DefaultColumnFamily(), rocksdb::Slice(key, key_size), &rocks->value);
  if (status.IsNotFound()) return false;
  Check(status);
  bench_touch(sink, rocks->value.data(), rocks->value.size());
  return true;
}

uint64_t Scan(void *db, bool reverse, bench_sink *sink) {
  std::unique_ptr<rocksdb::Iterator> iter(From(db)->db->NewIterator(From(db)->read));
  uint64_t count = 0;
  if (reverse) {
    for (iter->SeekToLast(); iter->Valid(); iter->Prev(), count++) Touch(sink, iter.get());
  } else {
    for (iter->SeekToFirst(); iter->Valid(); iter->Next(), count++) Touch(sink, iter.get());
  }
  Check(iter->status());
  return count;
}

uint64_t Seek(void *db, const char *key, unsigned nexts, bool reuse, bench_sink *sink) {
  Rocks *rocks = From(db);
  std::unique_ptr<rocksdb::Iterator> fresh;
  if (reuse && !rocks->reused) rocks->reused.reset(rocks->db->NewIterator(rocks->read));
  if (!reuse) fresh.reset(rocks->db->NewIterator(rocks->read));
  rocksdb::Iterator *iter = reuse ? rocks->reused.get() : fresh.get();
  uint64_t count = 0;
  for (iter->Seek(rocksdb::Slice(key, BENCH_KEY_SIZE)); iter->Valid(); iter->Next()) {
    Touch(sink, iter);
    if (++count > nexts) break;
  }
  Check(iter->status());
  return count;
}

bool Compact(void *db) {
  Check(From(db)->db->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr));
  return true;
}

uint64_t LogBytes(void *, const char *dir) {
  return bench_suffix_bytes(dir, ".log");
}

}  // namespace

extern "C" const bench_engine bench_the_engine = {"rocksdb", 32 << 20, Open, Close, Put,     Batch,
                                                  Del,       Get,      Scan, Seek,  Compact, LogBytes};
