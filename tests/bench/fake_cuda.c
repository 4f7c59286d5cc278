/* Stand-in libcuda.so.1, in one of two roles.
 *
 * Without FAKE_NVML_CONF it only ever fails: cuInit answers FAKE_CUINIT (default 100, no device), the driver says it is
 * for CUDA FAKE_CUDA_VERSION (default 12040). A real CUDA build of torch then gives its own real error text on a
 * machine without a GPU. It can not pretend to torch that a device works.
 *
 * With FAKE_NVML_CONF it lists the devices of that box (count, <i>.name, <i>.uuid, <i>.pci, <i>.cc, <i>.mig,
 * <i>.mig_instances, <i>.compute_mode, <i>.display_active) as far as CUDA_VISIBLE_DEVICES shows them, and lets a program
 * write and read 1 MiB. More keys:
 *
 *   cuda, cuda.version           driver's CUDA, the second for this library alone
 *   cuda.order=1,0               how FASTEST_FIRST orders the devices
 *   [<i>.]err.<function>=code    that call fails                [<i>.]sleep.<function>=seconds    it hangs
 *   [<i>.]crash.<function>=1     it aborts                      <i>.corrupt=1                     memory reads back wrong
 *   <i>.hidden=1                 NVML lists it and this library does not
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MOST 64
static char text[256 * 1024];
static int visible[MOST], shown, is_ready;
static int envi(const char *k, int d) { const char *v = getenv(k); return v ? atoi(v) : d; }

/* --- the box */

static const char *get(const char *key, char *room, size_t size) {
  size_t length = strlen(key);
  const char *found = NULL;
  if (!*text) {
    FILE *file = fopen(getenv("FAKE_NVML_CONF"), "r");
    if (!file) return NULL;
    text[0] = '\n';
    text[1 + fread(text + 1, 1, sizeof text - 2, file)] = 0;
    fclose(file);
  }
  for (const char *at = text; (at = strstr(at, key)); at++) /* the last line wins */
    if (at[-1] == '\n' && at[length] == '=') found = at + length + 1;
  if (!found) return NULL;
  size_t end = strcspn(found, "\r\n");
  snprintf(room, size, "%.*s", (int)end, found);
  return room;
}

static const char *get_of(int device, const char *key, char *room, size_t size) {
  char full[128];
  snprintf(full, sizeof full, "%d.%s", device, key);
  if (get(full, room, size)) return room;
  snprintf(full, sizeof full, "*.%s", key);
  return get(full, room, size);
}

static int number(const char *key, int otherwise) { char room[64]; return get(key, room, 64) ? atoi(room) : otherwise; }
static int number_of(int device, const char *key, int otherwise) {
  char room[64];
  return get_of(device, key, room, 64) ? atoi(room) : otherwise;
}

static int trouble(int device, const char *function) {
  if (!getenv("FAKE_NVML_CONF")) return envi("FAKE_CUINIT", 100);
  const char *kinds[] = {"sleep", "crash", "err"};
  for (int kind = 0; kind < 3; kind++) {
    char key[128], room[64];
    snprintf(key, sizeof key, "%s.%s", kinds[kind], function);
    if (!get(key, room, 64) && !(device >= 0 && get_of(device, key, room, 64))) continue;
    if (kind == 0) sleep((unsigned)atoi(room));
    else if (kind == 1) abort();
    else return atoi(room);
  }
  return 0;
}

/* MIG devices take the place of their GPU, and one process is given one of them. */
static int is_usable(int device) {
  if (number_of(device, "hidden", 0)) return 0;
  return number_of(device, "mig", 0) != 1 || number_of(device, "mig_instances", 0) > 0;
}

static void order(int *devices, int count) {
  char room[256];
  const char *wanted = getenv("CUDA_DEVICE_ORDER");
  for (int i = 0; i < count; i++) devices[i] = i;
  if ((wanted && !strcmp(wanted, "PCI_BUS_ID")) || !get("cuda.order", room, sizeof room)) return;
  char *save = NULL, *one = strtok_r(room, ",", &save);
  for (int i = 0; one && i < count; i++, one = strtok_r(NULL, ",", &save)) devices[i] = atoi(one) % count;
}

static int place(const char *entry, const int *devices, int count) { /* -1: it names none */
  char *end, uuid[128];
  long index = strtol(entry, &end, 10);
  if (*entry && !*end) return index >= 0 && index < count ? (int)index : -1;
  for (int i = 0; i < count && strlen(entry) > 4; i++)
    if (get_of(devices[i], "uuid", uuid, sizeof uuid) && !strncasecmp(uuid, entry, strlen(entry))) return i;
  for (int i = 0; i < count && !strncmp(entry, "MIG-", 4); i++)
    if (number_of(devices[i], "mig", 0) == 1) return i;
  return -1;
}

static void choose(void) {
  int devices[MOST], count = number("count", 0), has_mig = 0;
  char room[4096], *save = NULL;
  const char *wanted = getenv("CUDA_VISIBLE_DEVICES");
  if (count > MOST) count = MOST;
  order(devices, count);
  shown = 0;
  snprintf(room, sizeof room, "%s", wanted ? wanted : "");
  for (int i = 0; !wanted && i < count; i++) if (is_usable(devices[i])) visible[shown++] = devices[i];
  for (char *one = wanted ? strtok_r(room, ",", &save) : NULL; one && shown < MOST; one = strtok_r(NULL, ",", &save)) {
    int at = place(one, devices, count), again = 0;
    for (int i = 0; i < shown; i++) again |= at >= 0 && visible[i] == devices[at];
    if (again) shown = 0; /* a device that is named twice hides all */
    if (again || at < 0) break;
    if (is_usable(devices[at])) visible[shown++] = devices[at];
  }
  for (int i = 0; i < shown; i++) has_mig |= number_of(visible[i], "mig", 0) == 1;
  if (has_mig && shown > 1) shown = 1;
}

#define SYSTEM int r = trouble(-1, __func__); if (r) return r;
#define DEVICE \
  if (!is_ready) return 3; \
  if (d < 0 || d >= shown) return 101; \
  int box = visible[d], r = trouble(box, __func__); if (r) return r;

/* --- without a context */

int cuInit(unsigned f) {
  (void)f;
  SYSTEM
  choose();
  if (!shown) return 100;
  is_ready = 1;
  return 0;
}
int cuDriverGetVersion(int *v) {
  if (!getenv("FAKE_NVML_CONF")) { *v = envi("FAKE_CUDA_VERSION", 12040); return 0; }
  SYSTEM
  *v = number("cuda.version", number("cuda", 12040));
  return 0;
}
int cuDeviceGetCount(int *c) {
  *c = 0;
  if (!getenv("FAKE_NVML_CONF")) return 0;
  SYSTEM
  *c = shown;
  return is_ready ? 0 : 3;
}
int cuGetErrorName(int e, const char **s) {
  static const struct { int code; const char *name; } known[] = {
    {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {34, "CUDA_ERROR_STUB_LIBRARY"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
    {100, "CUDA_ERROR_NO_DEVICE"}, {101, "CUDA_ERROR_INVALID_DEVICE"}, {304, "CUDA_ERROR_OPERATING_SYSTEM"},
    {719, "CUDA_ERROR_LAUNCH_FAILED"}, {802, "CUDA_ERROR_SYSTEM_NOT_READY"}, {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE"}, {805, "CUDA_ERROR_MPS_CONNECTION_FAILED"},
    {999, "CUDA_ERROR_UNKNOWN"}};
  *s = "CUDA_ERROR";
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) if (known[i].code == e) *s = known[i].name;
  return 0;
}
int cuGetErrorString(int e, const char **s) { (void)e; *s = "error"; return 0; }
int cuDeviceGet(int *handle, int d) { DEVICE *handle = d; return 0; }
int cuDeviceGetName(char *out, int size, int d) { DEVICE *out = 0; get_of(box, "name", out, (size_t)size); return 0; }
int cuDeviceGetPCIBusId(char *out, int size, int d) {
  DEVICE
  char room[64] = "";
  unsigned domain = 0, bus = 0, slot = 0;
  get_of(box, "pci", room, sizeof room);
  if (sscanf(room, "%x:%x:%x", &domain, &bus, &slot) != 3) return 999;
  snprintf(out, (size_t)size, "%04X:%02X:%02X.0", domain, bus, slot);
  return 0;
}
int cuDeviceGetUuid_v2(unsigned char *out, int d) {
  DEVICE
  char room[128] = "";
  int digits = 0;
  get_of(box, number_of(box, "mig", 0) == 1 ? "mig_uuid.0" : "uuid", room, sizeof room);
  memset(out, 0, 16);
  for (char *at = strchr(room, '-'); at && *at && digits < 32; at++) {
    const char *hex = "0123456789abcdef", *found = strchr(hex, *at | 32);
    if (*at == '-' || !found) continue;
    out[digits / 2] |= (unsigned char)((found - hex) << (digits % 2 ? 0 : 4));
    digits++;
  }
  return 0;
}
int cuDeviceGetAttribute(int *out, int attribute, int d) {
  DEVICE
  char room[32] = "0.0";
  get_of(box, "cc", room, sizeof room);
  const char *dot = strchr(room, '.');
  *out = attribute == 75 ? atoi(room) : attribute == 76 ? (dot ? atoi(dot + 1) : 0)
       : attribute == 20 ? number_of(box, "compute_mode", 0)
       : attribute == 17 ? number_of(box, "display_active", 0) : 0;
  return 0;
}

/* --- with one */

static int current = -1;
static unsigned char *memory;
int cuDevicePrimaryCtxRetain(void **context, int d) {
  DEVICE
  if (number_of(box, "compute_mode", 0) == 2) return 46;
  *context = (void *)(long)(d + 1);
  return 0;
}
int cuCtxSetCurrent(void *context) { current = (int)(long)context - 1; return 0; }
int cuMemAlloc_v2(unsigned long long *out, size_t size) {
  int d = current;
  DEVICE
  memory = calloc(1, size);
  *out = (unsigned long long)(size_t)memory;
  return 0;
}
int cuMemsetD8_v2(unsigned long long at, unsigned char value, size_t size) {
  int d = current;
  DEVICE
  memset((void *)(size_t)at, value, size);
  if (number_of(box, "corrupt", 0)) ((unsigned char *)(size_t)at)[size / 2] ^= 4;
  return 0;
}
int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t size) {
  int d = current;
  DEVICE
  memcpy(to, (void *)(size_t)from, size);
  return 0;
}
int cuMemFree_v2(unsigned long long at) { free((void *)(size_t)at); return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { DEVICE return 0; }

/* --- what the CUDA runtime asks before cuInit */

static int other(void) { return envi("FAKE_CUINIT", 100); }
int cuGetExportTable(const void **t, const void *id) {
  static void *tab[64]; for (int i = 1; i < 64; i++) tab[i] = (void *)other;
  (void)id; tab[0] = (void *)sizeof tab; *t = tab; return 0; }
int cuGetProcAddress(const char *s, void **p, int ver, unsigned long long fl);
int cuGetProcAddress_v2(const char *s, void **p, int ver, unsigned long long fl, int *st) {
  (void)fl;
  *p = !strcmp(s, "cuInit") ? (void *)cuInit : !strcmp(s, "cuDriverGetVersion") ? (void *)cuDriverGetVersion
     : !strcmp(s, "cuDeviceGetCount") ? (void *)cuDeviceGetCount : !strcmp(s, "cuGetExportTable") ? (void *)cuGetExportTable
     : !strcmp(s, "cuGetErrorName") ? (void *)cuGetErrorName : !strcmp(s, "cuGetErrorString") ? (void *)cuGetErrorString
     : !strcmp(s, "cuGetProcAddress") ? (ver >= 12000 ? (void *)cuGetProcAddress_v2 : (void *)cuGetProcAddress) : (void *)other;
  if (st) *st = 0;
  return 0; }
int cuGetProcAddress(const char *s, void **p, int ver, unsigned long long fl) { return cuGetProcAddress_v2(s, p, ver, fl, 0); }
