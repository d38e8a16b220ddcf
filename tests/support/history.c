/* history.c: the graph of a history, its strongly connected parts (R. Tarjan, 1972, without recursion), and their
 * names. Each part is counted once, as the worst that it holds.
 *
 * Circles without two rw in a row are looked for in a graph of twice the nodes, one for having come by rw and one for
 * not, in which no rw leads on from the first.
 */
#include "support/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum edge_kind { EDGE_WW, EDGE_WR, EDGE_RW, EDGE_RW_RANGE } edge_kind;

enum {
  MASK_WW = 1u << EDGE_WW,
  MASK_READ = MASK_WW | 1u << EDGE_WR,
  MASK_ITEM = MASK_READ | 1u << EDGE_RW,
  MASK_ALL = MASK_ITEM | 1u << EDGE_RW_RANGE
};

typedef struct edge {
  uint32_t from, to;
  uint8_t kind, key;
} edge;

typedef struct key_version {
  uint64_t sequence;
  uint32_t writer, at;
  bool none;
} key_version;

typedef struct checker {
  const history *h;
  history_report *report;
  key_version *versions[HISTORY_KEYS];
  size_t version_count[HISTORY_KEYS];
  int32_t *wrote; /* [txn][key]: its version, or -1 */
  edge *edges;
  size_t edge_count, edge_room;
  size_t *first; /* of a transaction's edges, once they are sorted */
} checker;

static void *history_need(void *p) {
  if (p != NULL) return p;
  fputs("history: out of memory\n", stderr);
  abort();
}

static void *history_room(void *list, size_t count, size_t *room, size_t size) {
  if (count < *room) return list;
  *room = *room == 0 ? 1024 : 2 * *room;
  return history_need(realloc(list, *room * size));
}

void history_add(history *h, size_t number, history_txn t, const history_step *steps, size_t count) {
  while (h->txn_count <= number) {
    h->txns = history_room(h->txns, h->txn_count, &h->txn_room, sizeof *h->txns);
    h->txns[h->txn_count++] = (history_txn){0};
  }
  t.from = h->step_count;
  for (size_t i = 0; i < count; i++) {
    h->steps = history_room(h->steps, h->step_count, &h->step_room, sizeof *h->steps);
    h->steps[h->step_count++] = steps[i];
  }
  t.to = h->step_count;
  h->txns[number] = t;
}

void history_free(history *h) {
  free(h->txns);
  free(h->steps);
  memset(h, 0, sizeof *h);
}

const char *history_anomaly_name(history_anomaly a) {
  static const char *const names[] = {"G0",          "G1a",      "G1b",           "G1c",     "internal", "missed",
                                      "lost update", "G-single", "G-nonadjacent", "G2-item", "G2"};
  return names[a];
}

uint64_t history_forbidden(const history_report *r, int level) {
  uint64_t n = 0;
  for (int a = 0; a < HISTORY_ANOMALIES; a++) {
    bool forbidden = a <= HISTORY_MISSED || (level >= 2 && a <= HISTORY_G_NONADJACENT) || level >= 3;
    if (forbidden) n += r->found[a];
  }
  return n;
}

/* ---- versions ---- */

typedef struct history_order {
  uint64_t sequence;
  uint32_t txn;
} history_order;

static int history_order_compare(const void *a, const void *b) {
  const history_order *x = a, *y = b;
  return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static void checker_found(checker *c, history_anomaly a, uint32_t txn, unsigned key) {
  if (c->report->found[a]++ > 0) return;
  (void)snprintf(c->report->example[a], sizeof c->report->example[a], "transaction %u, key %u", txn, key);
}

static void checker_versions(checker *c) {
  const history *h = c->h;
  history_order *order = history_need(malloc(h->txn_count * sizeof *order));
  size_t count = 0, room[HISTORY_KEYS] = {0};
  for (size_t t = 0; t < h->txn_count; t++) {
    if (h->txns[t].committed && (h->txns[t].sequence > 0 || t == 0)) {
      order[count++] = (history_order){h->txns[t].sequence, (uint32_t)t};
    }
  }
  qsort(order, count, sizeof *order, history_order_compare);
  c->wrote = history_need(malloc(h->txn_count * HISTORY_KEYS * sizeof *c->wrote));
  for (size_t i = 0; i < h->txn_count * HISTORY_KEYS; i++) c->wrote[i] = -1;
  for (size_t i = 0; i < count; i++) {
    uint32_t t = order[i].txn;
    for (size_t s = h->txns[t].from; s < h->txns[t].to; s++) {
      const history_step *step = &h->steps[s];
      if (!step->write) continue;
      int32_t *mine = &c->wrote[t * HISTORY_KEYS + step->key];
      size_t *n = &c->version_count[step->key];
      key_version **list = &c->versions[step->key];
      if (*mine < 0) {
        *list = history_room(*list, *n, &room[step->key], sizeof **list);
        *mine = (int32_t)(*n)++;
      }
      (*list)[*mine] = (key_version){order[i].sequence, t, step->at, step->none};
    }
  }
  free(order);
}

/* ---- edges ---- */

static void checker_edge(checker *c, uint32_t from, uint32_t to, edge_kind kind, uint8_t key) {
  if (from == to) return;
  c->edges = history_room(c->edges, c->edge_count, &c->edge_room, sizeof *c->edges);
  c->edges[c->edge_count++] = (edge){from, to, (uint8_t)kind, key};
  c->report->edges[kind >= EDGE_RW ? 2 : kind]++;
}

/* The version that a read of nothing has seen; -1 = it cannot be told, -2 = none that it may have seen. */
static int64_t checker_none(const checker *c, const history_txn *t, uint8_t key) {
  if (t->snapshot == 0) return -1;
  int64_t at = -1;
  for (size_t low = 0, high = c->version_count[key]; low < high;) {
    size_t middle = (low + high) / 2;
    if (c->versions[key][middle].sequence <= t->snapshot) {
      at = (int64_t)middle;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return at >= 0 && c->versions[key][at].none ? at : -2;
}

static void checker_read(checker *c, uint32_t t, const history_step *s) {
  const history *h = c->h;
  int64_t v;
  if (s->none) {
    v = checker_none(c, &h->txns[t], s->key);
    if (v == -2) checker_found(c, HISTORY_MISSED, t, s->key);
  } else {
    if (s->writer >= h->txn_count || !h->txns[s->writer].committed) {
      checker_found(c, HISTORY_G1A, t, s->key);
      return;
    }
    v = c->wrote[s->writer * HISTORY_KEYS + s->key];
    if (v < 0 || c->versions[s->key][v].at != s->at) {
      checker_found(c, HISTORY_G1B, t, s->key);
      return;
    }
  }
  if (v < 0) return;
  const key_version *list = c->versions[s->key];
  size_t count = c->version_count[s->key];
  int32_t mine = c->wrote[t * HISTORY_KEYS + s->key];
  checker_edge(c, list[v].writer, t, EDGE_WR, s->key);
  if ((size_t)v + 1 < count) checker_edge(c, t, list[v + 1].writer, s->range ? EDGE_RW_RANGE : EDGE_RW, s->key);
  if (mine > v + 1) checker_found(c, HISTORY_LOST_UPDATE, t, s->key);
}

static void checker_steps(checker *c, uint32_t t) {
  const history_step *own[HISTORY_KEYS] = {0};
  for (size_t i = c->h->txns[t].from; i < c->h->txns[t].to; i++) {
    const history_step *s = &c->h->steps[i];
    if (s->write) {
      own[s->key] = s;
    } else if (own[s->key] != NULL) {
      const history_step *w = own[s->key];
      bool same = s->none ? w->none : !w->none && s->writer == t && s->at == w->at;
      if (!same) checker_found(c, HISTORY_INTERNAL, t, s->key);
    } else {
      checker_read(c, t, s);
    }
  }
}

static int checker_edge_compare(const void *a, const void *b) {
  const edge *x = a, *y = b;
  return (x->from > y->from) - (x->from < y->from);
}

static void checker_edges(checker *c) {
  for (uint8_t k = 0; k < HISTORY_KEYS; k++) {
    for (size_t i = 1; i < c->version_count[k]; i++) {
      checker_edge(c, c->versions[k][i - 1].writer, c->versions[k][i].writer, EDGE_WW, k);
    }
  }
  for (size_t t = 1; t < c->h->txn_count; t++) {
    if (c->h->txns[t].committed) checker_steps(c, (uint32_t)t);
  }
  if (c->edge_count > 0) qsort(c->edges, c->edge_count, sizeof *c->edges, checker_edge_compare);
  c->first = history_need(calloc(c->h->txn_count + 2, sizeof *c->first));
  for (size_t i = 0; i < c->edge_count; i++) c->first[c->edges[i].from + 1]++;
  for (size_t t = 0; t <= c->h->txn_count; t++) c->first[t + 1] += c->first[t];
}

/* ---- parts ---- */

typedef struct tarjan {
  const checker *c;
  unsigned mask;
  bool doubled; /* node 2 t + (came by rw) */
  uint32_t *index, *low, *stack, *path, *part;
  size_t *edge_at;
  bool *on_stack;
  uint32_t next;
  size_t depth, path_depth, parts;
} tarjan;

/* The node that the edge leads to from `node`, or false. */
static bool tarjan_follow(const tarjan *g, uint32_t node, const edge *e, uint32_t *to) {
  if ((g->mask >> e->kind & 1) == 0) return false;
  bool rw = e->kind >= EDGE_RW;
  if (g->doubled && rw && node % 2 == 1) return false;
  *to = g->doubled ? 2 * e->to + (rw ? 1 : 0) : e->to;
  return true;
}

static void tarjan_enter(tarjan *g, uint32_t node) {
  g->index[node] = g->low[node] = ++g->next;
  g->stack[g->depth++] = node;
  g->on_stack[node] = true;
  g->path[g->path_depth++] = node;
  g->edge_at[node] = g->c->first[g->doubled ? node / 2 : node];
}

static void tarjan_leave(tarjan *g, uint32_t node) {
  g->path_depth--;
  if (g->path_depth > 0) {
    uint32_t parent = g->path[g->path_depth - 1];
    if (g->low[node] < g->low[parent]) g->low[parent] = g->low[node];
  }
  if (g->low[node] != g->index[node]) return;
  bool alone = g->stack[g->depth - 1] == node;
  if (!alone) g->parts++;
  for (;;) {
    uint32_t top = g->stack[--g->depth];
    g->on_stack[top] = false;
    g->part[top] = alone ? 0 : (uint32_t)g->parts;
    if (top == node) break;
  }
}

static void tarjan_visit(tarjan *g, uint32_t root) {
  tarjan_enter(g, root);
  while (g->path_depth > 0) {
    uint32_t node = g->path[g->path_depth - 1], to;
    size_t end = g->c->first[(g->doubled ? node / 2 : node) + 1];
    bool entered = false;
    while (!entered && g->edge_at[node] < end) {
      const edge *e = &g->c->edges[g->edge_at[node]++];
      if (!tarjan_follow(g, node, e, &to)) continue;
      if (g->index[to] == 0) {
        tarjan_enter(g, to);
        entered = true;
      } else if (g->on_stack[to] && g->index[to] < g->low[node]) {
        g->low[node] = g->index[to];
      }
    }
    if (!entered) tarjan_leave(g, node);
  }
}

/* Which part each transaction is in, 0 = none with a circle. The caller's to free. */
static uint32_t *checker_parts(const checker *c, unsigned mask, bool doubled, size_t *count) {
  size_t n = c->h->txn_count * (doubled ? 2 : 1);
  tarjan g = {.c = c, .mask = mask, .doubled = doubled};
  g.index = history_need(calloc(n, sizeof *g.index));
  g.low = history_need(calloc(n, sizeof *g.low));
  g.stack = history_need(calloc(n, sizeof *g.stack));
  g.path = history_need(calloc(n, sizeof *g.path));
  g.part = history_need(calloc(n, sizeof *g.part));
  g.edge_at = history_need(calloc(n, sizeof *g.edge_at));
  g.on_stack = history_need(calloc(n, sizeof *g.on_stack));
  for (uint32_t node = 0; node < n; node++) {
    if (g.index[node] == 0) tarjan_visit(&g, node);
  }
  if (doubled) {
    for (size_t t = 0; t < c->h->txn_count; t++) g.part[t] = g.part[2 * t] != 0 ? g.part[2 * t] : g.part[2 * t + 1];
  }
  *count = g.parts;
  free(g.index);
  free(g.low);
  free(g.stack);
  free(g.path);
  free(g.edge_at);
  free(g.on_stack);
  return g.part;
}

/* ---- names ---- */

/* A shortest way from one transaction to another: how long it is, -1 = there is none; *text says it. */
static int checker_way(const checker *c, unsigned mask, uint32_t from, uint32_t to, char *text, size_t room) {
  static const char *const kinds[] = {"ww", "wr", "rw", "rw of a range"};
  size_t n = c->h->txn_count, head = 0, tail = 0;
  const edge **by = history_need(calloc(n, sizeof *by));
  uint32_t *queue = history_need(malloc(n * sizeof *queue));
  queue[tail++] = from;
  while (head < tail && by[to] == NULL) {
    uint32_t node = queue[head++];
    for (size_t i = c->first[node]; i < c->first[node + 1]; i++) {
      const edge *e = &c->edges[i];
      if ((mask >> e->kind & 1) == 0 || by[e->to] != NULL) continue;
      by[e->to] = e;
      if (e->to != from) queue[tail++] = e->to;
    }
  }
  int length = by[to] == NULL ? -1 : 0;
  size_t at = 0;
  if (length == 0) text[0] = '\0';
  for (uint32_t node = to; length >= 0 && (node != from || length == 0); node = by[node]->from) {
    const edge *e = by[node];
    if (at < room) at += (size_t)snprintf(text + at, room - at, "%u <%s %u- ", e->to, kinds[e->kind], e->key);
    if (e->from == from && at < room) at += (size_t)snprintf(text + at, room - at, "%u", e->from);
    length++;
  }
  free(by);
  free(queue);
  return length;
}

static bool checker_has_single(const checker *c, const uint32_t *all, uint32_t part, char *text, size_t room) {
  unsigned tried = 0;
  for (size_t i = 0; i < c->edge_count && tried < 200; i++) {
    const edge *e = &c->edges[i];
    if (e->kind < EDGE_RW || all[e->from] != part || all[e->to] != part) continue;
    tried++;
    if (checker_way(c, MASK_READ, e->to, e->from, text, room) > 0) return true;
  }
  return false;
}

/* What the part is called that transaction t is in: the worst. */
static void checker_name(checker *c, uint32_t t, const uint32_t *all, unsigned worst) {
  static const unsigned masks[] = {MASK_WW, MASK_READ, MASK_ALL, MASK_ITEM, MASK_ALL};
  static const history_anomaly names[] = {HISTORY_G0, HISTORY_G1C, HISTORY_G_NONADJACENT, HISTORY_G2_ITEM, HISTORY_G2};
  char text[sizeof c->report->example[0]] = "";
  history_anomaly name = names[worst];
  if (worst == 2 && checker_has_single(c, all, all[t], text, sizeof text)) name = HISTORY_G_SINGLE;
  if (c->report->found[name]++ > 0) return;
  if (name != HISTORY_G_SINGLE) (void)checker_way(c, masks[worst], t, t, text, sizeof text);
  memcpy(c->report->example[name], text, sizeof text);
}

static void checker_circles(checker *c) {
  static const unsigned masks[] = {MASK_WW, MASK_READ, MASK_ALL, MASK_ITEM};
  uint32_t *parts[4], *all;
  size_t count, some;
  all = checker_parts(c, MASK_ALL, false, &count);
  if (count > 0) {
    for (int i = 0; i < 4; i++) parts[i] = checker_parts(c, masks[i], i == 2, &some);
    unsigned *worst = history_need(malloc((count + 1) * sizeof *worst));
    uint32_t *who = history_need(calloc(count + 1, sizeof *who));
    for (size_t p = 0; p <= count; p++) worst[p] = 5;
    for (uint32_t t = 0; t < c->h->txn_count; t++) {
      unsigned here = 4;
      for (unsigned i = 4; i-- > 0;) here = parts[i][t] != 0 ? i : here;
      if (all[t] == 0 || here >= worst[all[t]]) continue;
      worst[all[t]] = here;
      who[all[t]] = t;
    }
    for (size_t p = 1; p <= count; p++) checker_name(c, who[p], all, worst[p]);
    for (int i = 0; i < 4; i++) free(parts[i]);
    free(worst);
    free(who);
  }
  free(all);
}

void history_check(const history *h, history_report *r) {
  checker c = {.h = h, .report = r};
  memset(r, 0, sizeof *r);
  r->transactions = h->txn_count;
  r->steps = h->step_count;
  for (size_t t = 0; t < h->txn_count; t++) r->committed += h->txns[t].committed;
  checker_versions(&c);
  checker_edges(&c);
  checker_circles(&c);
  for (int k = 0; k < HISTORY_KEYS; k++) free(c.versions[k]);
  free(c.wrote);
  free(c.edges);
  free(c.first);
}
