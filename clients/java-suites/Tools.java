import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command line tools one after the other in one JVM, each as its script would: a JVM per tool costs seconds on a
 * loaded machine. Reads lines of tab-separated fields, input, output and error file, class, arguments; answers each with
 * "exit STATUS".
 */
public final class Tools {
    /** Instead of the end of the JVM. An Error, because tools catch exceptions; some catch this too and say so. */
    private static final class Ended extends Error {
        Ended() {
            super("ENDED", null, false, false);
        }
    }

    /** What the tool wanted to end with, the first time it did. */
    private static volatile Integer ended;

    private static void end(int status) {
        if (ended == null) {
            ended = status;
        }
        throw new Ended();
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> end(status));
        // What a tool wants done at the end of its JVM would wait for this one.
        Exit.setShutdownHookAdder((name, runnable) -> { });
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        String request;
        while ((request = requests.readLine()) != null) {
            String[] fields = request.split("\t", -1);
            ended = null;
            int[] status = {0};
            try (FileInputStream input = new FileInputStream(fields[0]);
                    PrintStream output = new PrintStream(new FileOutputStream(fields[1]), true);
                    PrintStream errors = new PrintStream(new FileOutputStream(fields[2]), true)) {
                System.setIn(input);
                System.setOut(output);
                System.setErr(errors);
                String[] rest = Arrays.copyOfRange(fields, 4, fields.length);
                Thread tool = new Thread(() -> status[0] = run(fields[3], rest), "main");
                tool.start();
                tool.join();
            }
            answers.println("exit " + (ended == null ? status[0] : ended));
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static int run(String name, String[] arguments) {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException exception) {
            Throwable cause = exception.getCause();
            if (cause instanceof Ended) {
                return 0;
            }
            System.err.println("Exception in thread \"main\" " + cause);
            return 1;
        } catch (ReflectiveOperationException exception) {
            System.err.println(exception);
            return 127;
        }
    }
}
