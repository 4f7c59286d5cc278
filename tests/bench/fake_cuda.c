/* Stand-in libcuda.so.1 that only ever fails: cuInit answers FAKE_CUINIT (default 100, no device),
 * the driver says it is for CUDA FAKE_CUDA_VERSION (default 12040). A real CUDA build of torch then
 * gives its own real error text on a machine without a GPU. It cannot pretend that a device works. */
#include <stdlib.h>
#include <string.h>
static int envi(const char *k, int d) { const char *v = getenv(k); return v ? atoi(v) : d; }
int cuInit(unsigned f) { return envi("FAKE_CUINIT", 100); }
int cuDriverGetVersion(int *v) { *v = envi("FAKE_CUDA_VERSION", 12040); return 0; }
int cuDeviceGetCount(int *c) { *c = 0; return 0; }
int cuGetErrorName(int e, const char **s) { *s = "CUDA_ERROR"; return 0; }
int cuGetErrorString(int e, const char **s) { *s = "error"; return 0; }
static int other(void) { return envi("FAKE_CUINIT", 100); }
int cuGetExportTable(const void **t, const void *id) {
  static void *tab[64]; for (int i = 1; i < 64; i++) tab[i] = (void *)other;
  tab[0] = (void *)sizeof tab; *t = tab; return 0; }
int cuGetProcAddress(const char *s, void **p, int ver, unsigned long long fl);
int cuGetProcAddress_v2(const char *s, void **p, int ver, unsigned long long fl, int *st) {
  *p = !strcmp(s, "cuInit") ? (void *)cuInit : !strcmp(s, "cuDriverGetVersion") ? (void *)cuDriverGetVersion
     : !strcmp(s, "cuDeviceGetCount") ? (void *)cuDeviceGetCount : !strcmp(s, "cuGetExportTable") ? (void *)cuGetExportTable
     : !strcmp(s, "cuGetErrorName") ? (void *)cuGetErrorName : !strcmp(s, "cuGetErrorString") ? (void *)cuGetErrorString
     : !strcmp(s, "cuGetProcAddress") ? (ver >= 12000 ? (void *)cuGetProcAddress_v2 : (void *)cuGetProcAddress) : (void *)other;
  if (st) *st = 0;
  return 0; }
int cuGetProcAddress(const char *s, void **p, int ver, unsigned long long fl) { return cuGetProcAddress_v2(s, p, ver, fl, 0); }
