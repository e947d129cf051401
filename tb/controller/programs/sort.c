// SPDX-License-Identifier: Apache-2.0
// Heap sort and a CRC on every started hart, each on an array of its own: plain compiled C.
#include "assay.h"

enum { COUNT = 48 };

static uint32_t values[16][COUNT];

static void sift(uint32_t *v, uint32_t root, uint32_t count) {
  for (;;) {
    uint32_t child = 2 * root + 1;
    if (child >= count) return;
    if (child + 1 < count && v[child + 1] > v[child]) child++;
    if (v[root] >= v[child]) return;
    const uint32_t held = v[root];
    v[root] = v[child];
    v[child] = held;
    root = child;
  }
}

static void sort(uint32_t *v, uint32_t count) {
  for (uint32_t i = count / 2; i-- > 0;) sift(v, i, count);
  for (uint32_t end = count - 1; end > 0; end--) {
    const uint32_t held = v[0];
    v[0] = v[end];
    v[end] = held;
    sift(v, 0, end);
  }
}

// CRC-32 of IEEE 802.3, reflected, polynomial 0xEDB88320.
static uint32_t crc32(const uint8_t *bytes, uint32_t count) {
  uint32_t crc = ~0u;
  for (uint32_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320u & -(crc & 1));
  }
  return ~crc;
}

int main(uint32_t hart) {
  uint32_t *v = values[hart];
  uint32_t state = 1, sum = 0;
  for (int i = 0; i < COUNT; i++) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    v[i] = state;
    sum += state;
  }
  sort(v, COUNT);
  for (int i = 1; i < COUNT; i++) {
    if (v[i - 1] > v[i]) return 1;
  }
  for (int i = 0; i < COUNT; i++) sum -= v[i];
  if (sum != 0) return 2;
  static const uint8_t check[] = "123456789";
  return crc32(check, 9) == 0xcbf43926u ? 0 : 3;  // the CRC's published check value
}
