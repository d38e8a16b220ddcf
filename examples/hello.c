/* hello.c: put, get, iterate, close. Build it with one of
 *
 *     cc hello.c varve.c -lpthread -o hello                       the two files of dist/
 *     cc hello.c $(pkg-config --cflags --libs varve) -o hello     an installed Varve
 *
 * and run `./hello my_database`.
 */
#include <stdio.h>

#include "varve.h"

static int complain(varve_db *db) {
  fprintf(stderr, "hello: %s\n", varve_errmsg(db));
  varve_close(db);
  return 1;
}

int main(int argc, char **argv) {
  varve_db *db = NULL;
  if (varve_open(argc > 1 ? argv[1] : "my_database", NULL, &db) < 0) return complain(NULL);

  if (varve_put(db, VARVE_STR("user:1"), VARVE_STR("Alice"), NULL) < 0) return complain(db);
  if (varve_put(db, VARVE_STR("user:2"), VARVE_STR("Bob"), NULL) < 0) return complain(db);

  varve_value value;
  int rc = varve_get(db, VARVE_STR("user:1"), NULL, &value);
  if (rc < 0) return complain(db);
  if (rc == VARVE_NOTFOUND) puts("there is no user:1");
  if (rc == VARVE_OK) {
    printf("The first user is %.*s.\n", (int)value.size, (const char *)value.data);
    varve_value_release(&value);
  }

  varve_iter_options options = {.prefix = VARVE_STR("user:")};
  varve_iter *iter = NULL;
  if (varve_iter_open(db, &options, &iter) < 0) return complain(db);
  for (rc = varve_iter_first(iter); rc == VARVE_OK; rc = varve_iter_next(iter)) {
    varve_slice key = varve_iter_key(iter), found = varve_iter_value(iter);
    printf("%.*s = %.*s\n", (int)key.size, (const char *)key.data, (int)found.size, (const char *)found.data);
  }
  varve_iter_close(iter);
  if (rc < 0) return complain(db);

  return varve_close(db) < 0 ? complain(NULL) : 0;
}
