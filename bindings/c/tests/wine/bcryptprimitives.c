/* Only for tests in Wine, not to be shipped: Wine 8 lacks bcryptprimitives.dll, from which Rust's standard library
 * takes random numbers. Windows has this DLL since version 7. */

#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
    return SystemFunction036(data, (ULONG)length);
}
