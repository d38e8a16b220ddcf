/* bench_leveldb.cc: LevelDB through its own C++ interface (the C one copies every value once more).
 *
 * Settings: bloom filters of 10 bits, a block cache as large as Varve's memory bound, no compression. The write buffer
 * is LevelDB's default of 4 MiB; the variant "16m" has 16 MiB, which is Varve's. A get reads into a string that is
 * used again, as in db_bench. */
#include "bench.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <cstring>
#include <memory>
#include <string>

namespace {

struct Level {
  std::unique_ptr<const leveldb::FilterPolicy> filter;
  std::unique_ptr<leveldb::Cache> cache;
  std::unique_ptr<leveldb::DB> db;
  std::unique_ptr<leveldb::Iterator> reused;
  leveldb::WriteOptions write;
  leveldb::ReadOptions read;
  leveldb::WriteBatch batch;
  std::string value;
};

void Check(const leveldb::Status &status) {
  if (!status.ok()) bench_die("%s", status.ToString().c_str());
}

Level *From(void *db) {
  return static_cast<Level *>(db);
}

void Touch(bench_sink *sink, const leveldb::Iterator *iter) {
  bench_touch(sink, iter->key().data(), iter->key().size());
  bench_touch(sink, iter->value().data(), iter->value().size());
}

void *Open(const bench_config *config) {
  auto *level = new Level;
  level->filter.reset(leveldb::NewBloomFilterPolicy(10));
  level->cache.reset(leveldb::NewLRUCache(BENCH_CACHE_BYTES));
  leveldb::Options options;
  options.create_if_missing = true;
  options.filter_policy = level->filter.get();
  options.block_cache = level->cache.get();
  options.compression = config->compress ? leveldb::kSnappyCompression : leveldb::kNoCompression;
  if (std::strcmp(config->variant, "16m") == 0) options.write_buffer_size = 16 << 20;
  level->write.sync = config->strict;
  leveldb::DB *db = nullptr;
  Check(leveldb::DB::Open(options, config->dir, &db));
  level->db.reset(db);
  return level;
}

void Close(void *db) {
  Level *level = From(db);
  level->reused.reset();
  level->db.reset();
  delete level;
}

void Put(void *db, const char *key, const char *value, size_t value_size) {
  Level *level = From(db);
  Check(level->db->Put(level->write, leveldb::Slice(key, BENCH_KEY_SIZE), leveldb::Slice(value, value_size)));
}

void Batch(void *db, const bench_entry *entries, size_t count, bool) {
  Level *level = From(db);
  level->batch.Clear();
  for (size_t i = 0; i < count; i++) {
    level->batch.Put(leveldb::Slice(entries[i].key, BENCH_KEY_SIZE),
                     leveldb::Slice(entries[i].value, entries[i].value_size));
  }
  Check(level->db->Write(level->write, &level->batch));
}

void Del(void *db, const char *key) {
  Check(From(db)->db->Delete(From(db)->write, leveldb::Slice(key, BENCH_KEY_SIZE)));
}

bool Get(void *db, const char *key, size_t key_size, bench_sink *sink) {
  Level *level = From(db);
  leveldb::Status status = level->db->Get(level->read, leveldb::Slice(key, key_size), &level->value);
  if (status.IsNotFound()) return false;
  Check(status);
  bench_touch(sink, level->value.data(), level->value.size());
  return true;
}

uint64_t Scan(void *db, bool reverse, bench_sink *sink) {
  std::unique_ptr<leveldb::Iterator> iter(From(db)->db->NewIterator(From(db)->read));
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
  Level *level = From(db);
  std::unique_ptr<leveldb::Iterator> fresh;
  if (reuse && !level->reused) level->reused.reset(level->db->NewIterator(level->read));
  if (!reuse) fresh.reset(level->db->NewIterator(level->read));
  leveldb::Iterator *iter = reuse ? level->reused.get() : fresh.get();
  uint64_t count = 0;
  for (iter->Seek(leveldb::Slice(key, BENCH_KEY_SIZE)); iter->Valid(); iter->Next()) {
    Touch(sink, iter);
    if (++count > nexts) break;
  }
  Check(iter->status());
  return count;
}

bool Compact(void *db) {
  From(db)->db->CompactRange(nullptr, nullptr);
  return true;
}

uint64_t LogBytes(void *, const char *dir) {
  return bench_suffix_bytes(dir, ".log");
}

}  // namespace

extern "C" const bench_engine bench_the_engine = {"leveldb", 2 << 20, Open, Close, Put,     Batch,
                                                  Del,       Get,     Scan, Seek,  Compact, LogBytes};
